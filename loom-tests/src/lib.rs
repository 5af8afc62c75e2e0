//! Interleavings of the shipping code, one property each. Run by `RUSTFLAGS="--cfg loom" cargo test --release -p also-cache-loom-tests`.
