#!/usr/bin/env bash
# Counts what work costs the release binary, in instructions and system calls, and fails where that is more than the figures
# in tests/instructions/figures.txt allow. Installs valgrind first when it is not there. WSPLICE_BLESS=1 writes the figures
# anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

install_debian valgrind
release_build
WSPLICE="$WSPLICE" cargo test --locked --test instructions -- --ignored --nocapture
