#!/usr/bin/env bash
# Counts what work costs the release binary, in instructions and system calls, and fails where that is more than the figures
# in tests/instructions/figures.txt allow. WSPLICE_BLESS=1 writes them anew.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v valgrind >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { echo 'instructions: valgrind is missing. As root: apt-get install valgrind' >&2; exit 1; }
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends valgrind
fi
cargo test --release --locked --test instructions -- --ignored --nocapture
