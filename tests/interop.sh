#!/usr/bin/env bash
# Runs wsplice against WebSocket programs that other people wrote, as their server and as their client, and checks each cell
# of the matrix. Installs what is missing first. --write writes docs/interop.md. WSPLICE names another binary than the
# release build.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

install_debian chromium fonts-liberation
install_node_modules
install_python_modules
install_websocat
release_build
exec python3 tests/interop/run.py --wsplice "$WSPLICE" --peers "$peers" "$@"
