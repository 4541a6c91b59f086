#!/usr/bin/env bash
# Runs wsplice against WebSocket programs that other people wrote, as their server and as their client, and checks each cell
# of the matrix. tests/with-peers.sh installs them. --write writes docs/interop.md. WSPLICE names another binary than the
# release build.
set -euo pipefail
cd "$(dirname "$0")/.."
unset RUST_BACKTRACE

peers="${CARGO_TARGET_DIR:-target}/peers"
if ! [ -d "$peers/node_modules/ws" ] || ! [ -x "$peers/websocat/bin/websocat" ] ||
    ! "$peers/venv/bin/python" -c 'import aiohttp, websockets' 2>/dev/null; then
    echo "interop: the peers are not installed: tests/with-peers.sh does that" >&2
    exit 1
fi
if [ -z "${WSPLICE:-}" ]; then
    cargo build --release --locked --quiet
    WSPLICE="${CARGO_TARGET_DIR:-target}/release/wsplice"
fi
exec python3 tests/interop/run.py --wsplice "$WSPLICE" --peers "$peers" "$@"
