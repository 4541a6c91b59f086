#!/usr/bin/env bash
# Runs the examples that websocat documents, each with websocat and with wsplice, against the same peers, and compares what they
# do. A row that differs has a reason in tests/websocat/examples.py; one that has none fails, as does one that wsplice refuses.
# Installs what is missing first. --write writes docs/websocat.md. Other arguments choose the examples with that text. WSPLICE names
# another binary than the release build. It takes about a minute.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

install_debian socat netcat-openbsd openssl curl systemd
install_python_modules
install_websocat
release_build
exec "$peers/venv/bin/python" -B tests/websocat/run.py --wsplice "$WSPLICE" --websocat "$peers/websocat/bin/websocat" "$@"
