#!/bin/sh
# Builds all fuzz targets and runs each for SECONDS (default 30): tools/fuzz/run.sh [SECONDS] [TARGET...]
# Needs no cargo-fuzz and no clang: the sanitizer runtime and the coverage pass ship with the toolchain.
set -eu
cd "$(dirname "$0")"
seconds=${1:-30}
case $seconds in
*[!0-9]* | 0*) echo "fuzz: $seconds is no number of seconds; tools/fuzz/run.sh [SECONDS] [TARGET...]" >&2 && exit 2 ;;
esac
[ $# -gt 0 ] && shift
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR="${FUZZ_TARGET_DIR:-${CARGO_TARGET_DIR:-../../target}/fuzz}"
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address -Ccodegen-units=1 -Cdebug-assertions" \
  cargo build --release --quiet --target "$host"
for target in ${*:-datagrams frames opener operations peers}; do
    corpus="$CARGO_TARGET_DIR/corpus/$target"
    mkdir -p "$corpus"
    # A frame of each kind to begin with.
    seeds=
    [ "$target" != frames ] || seeds=../../tests/golden
    # What a stranger sends makes nobody allocate more than a frame, which is 324 KiB. Arenas are larger; `peers` looks by itself.
    limit=
    case $target in datagrams | frames) limit=-malloc_limit_mb=1 ;; esac
    echo "fuzz: $target for $seconds s"
    "$CARGO_TARGET_DIR/$host/release/$target" -max_total_time="$seconds" -max_len=2000 -timeout=20 -rss_limit_mb=4096 $limit \
        -print_final_stats=1 -artifact_prefix="$CARGO_TARGET_DIR/" "$corpus" $seeds 2>&1 |
        tee "$CARGO_TARGET_DIR/$target.log" | grep -E "stat::number_of_executed_units|ERROR|SUMMARY|panicked|Test unit|Done" || true
    # The pipe hides the status: a crash leaves its input and says so.
    if grep -qE "ERROR|SUMMARY" "$CARGO_TARGET_DIR/$target.log"; then
        echo "fuzz: $target failed, see $CARGO_TARGET_DIR/$target.log"
        exit 1
    fi
    grep -q "stat::number_of_executed_units" "$CARGO_TARGET_DIR/$target.log" || { echo "fuzz: $target ran nothing"; exit 1; }
done
