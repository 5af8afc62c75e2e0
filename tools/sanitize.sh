#!/bin/sh
# ThreadSanitizer over tests/tsan, AddressSanitizer over unit tests and whole caches: tools/sanitize.sh [thread] [address]
#
# Works on stable: the runtimes ship with the toolchain. Always with --target, so that build scripts and macros stay as they
# are; both share those in one folder, as what is instrumented differently has another name there. The variables
# ALSO_CACHE_STEPS, ALSO_CACHE_STRESS_ROUNDS, ALSO_CACHE_KILLS and ALSO_CACHE_FILES make the runs longer or shorter.
set -eu
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTC_BOOTSTRAP=1 CARGO_PROFILE_DEV_DEBUG=line-tables-only
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/sanitize"
log="$CARGO_TARGET_DIR/log"
mkdir -p "$CARGO_TARGET_DIR"

sanitized_thread() {
    TSAN_OPTIONS="suppressions=$PWD/tools/tsan.supp halt_on_error=1" RUSTC_WORKSPACE_WRAPPER="$PWD/tools/xtask/bitten.sh" \
        RUSTFLAGS="-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer --cfg crossbeam_sanitize \
        --cfg crossbeam_sanitize_thread --cfg also_cache_sanitize" cargo test --quiet --target "$host" --test tsan "$@"
}

# A race ends the run, so steps cost nothing where a defect is seen; which threads meet is chance, so there are more runs.
has_to_see() {
    for attempt in 1 2 3; do
        if ! ALSO_CACHE_STEPS=200000 ALSO_CACHE_BITE=$1 sanitized_thread >"$log" 2>&1; then
            grep -q "ThreadSanitizer: data race" "$log" || { cat "$log"; exit 1; }
            echo "sanitize: $1 is seen, in run $attempt"
            return
        fi
    done
    echo "sanitize: $1 went unnoticed" >&2
    exit 1
}

sanitized_address() {
    # In some tests processes are killed on purpose, and what a killed one leaves is no leak of ours.
    ASAN_OPTIONS=detect_leaks=0 RUSTFLAGS="-Zsanitizer=address --cfg also_cache_sanitize" \
        cargo test --quiet --target "$host" "$@"
}

for which in ${*:-thread address}; do
    case $which in
    thread)
        sanitized_thread --no-run
        # A sanitizer that sees nothing is quiet too: it has to see these.
        for defect in slot.publish-relaxed reclaim.no-grace page.free-at-once; do
            has_to_see "$defect"
        done
        ALSO_CACHE_STEPS=${ALSO_CACHE_STEPS:-60000} sanitized_thread
        ;;
    address)
        ALSO_CACHE_STRESS_ROUNDS=${ALSO_CACHE_STRESS_ROUNDS:-2} ALSO_CACHE_KILLS=${ALSO_CACHE_KILLS:-30} \
            ALSO_CACHE_FILES=${ALSO_CACHE_FILES:-60} sanitized_address --lib --test local --test stress --test restart --test files
        ;;
    *)
        echo "sanitize: thread and address are known, not $which" >&2
        exit 2
        ;;
    esac
    echo "sanitize: $which clean"
done
