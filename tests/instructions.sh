#!/usr/bin/env bash
# Counts what work costs the release binary, in instructions and system calls, and fails where that is more than the figures
# in tests/instructions/figures.txt allow. Installs valgrind first when it is not there. WSPLICE_BLESS=1 writes the figures
# anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

need cargo
install_debian valgrind
# With the features of tests/with-peers.sh, so that the binary is built once.
cargo test --release --locked --features nats --test instructions -- --ignored --nocapture
