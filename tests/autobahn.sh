#!/usr/bin/env bash
# Runs the Autobahn test suite against our server and our client, and checks every result. Installs the suite first when it
# is not there. Arguments: --all for every case, --write for docs/conformance.md, and cases, such as '9.1.*', instead of
# the usual ones. WSPLICE names another binary than the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

need python3
install_autobahn
release_build
exec python3 tests/autobahn/run.py --wsplice "$WSPLICE" --venv "$peers/autobahn" "$@"
