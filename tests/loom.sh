#!/usr/bin/env bash
# Runs the models of the rooms (src/rooms/models.rs) under loom, which tries every order in which their threads can take turns.
# Arguments are passed on to the tests, such as a part of a name. With LOOM_LOG=1 in the environment loom prints what it does.
set -euo pipefail
cd "$(dirname "$0")/.."
# Tests compare error messages, which would have a backtrace at their end.
unset RUST_BACKTRACE
# The flag is for all crates, so they are built in a folder of their own.
RUSTFLAGS="${RUSTFLAGS:-} --cfg wsplice_loom" cargo test --locked --lib --target-dir "${CARGO_TARGET_DIR:-target}/loom" -- rooms::models "$@"
