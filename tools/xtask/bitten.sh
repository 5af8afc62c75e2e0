#!/bin/sh
# Stands before rustc for the crates of this workspace: `bite` of src/sync.rs is asked when it runs.
exec "$@" --cfg also_cache_bite
