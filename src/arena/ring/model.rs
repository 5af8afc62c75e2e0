//! Doors for `loom-tests`.
