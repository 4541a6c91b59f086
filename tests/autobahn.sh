#!/usr/bin/env bash
# Runs the Autobahn test suite against our server and our client, and checks every result. Installs the suite first when it
# is not there. Arguments: --all for every case, --write for docs/conformance.md, and cases, such as '9.1.*', instead of
# the usual ones. WSPLICE names another binary than the release build.
set -euo pipefail
cd "$(dirname "$0")/.."
unset RUST_BACKTRACE

say() { printf 'autobahn: %s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

# The suite was never ported to Python 3.
python27() {
    local found
    for found in "${PY27:-}" "$(type -P python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
        # pyenv puts something of this name in front of the search path also where no Python 2.7 is chosen.
        if [ -n "$found" ] && "$found" -c 'import pip, sys; assert sys.version_info[:2] == (2, 7)' 2>/dev/null; then
            echo "$found"
            return
        fi
    done
    fail "there is no Python 2.7 with pip: not as \$PY27, not in the search path, not under pyenv ('pyenv install 2.7.18' makes one)"
}

venv="${CARGO_TARGET_DIR:-target}/peers/autobahn"
if ! "$venv/bin/wstest" --autobahnversion >/dev/null 2>&1; then
    python="$(python27)"
    say "installing the suite with $python"
    export PYTHONWARNINGS=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_PYTHON_VERSION_WARNING=1
    rm -rf "$venv"
    bootstrap="$(mktemp -d)"
    trap 'rm -rf "$bootstrap"' EXIT
    # The last one that makes environments of Python 2.7; it brings the pip that goes with them.
    "$python" -m pip install --quiet --no-deps --target "$bootstrap" virtualenv==16.7.12 &&
        PYTHONPATH="$bootstrap" "$python" -m virtualenv --quiet --no-download "$venv" &&
        "$venv/bin/pip" install --quiet --no-deps -r tests/autobahn/requirements.txt || fail "the suite could not be installed"
    "$venv/bin/wstest" --autobahnversion >/dev/null || fail "wstest was installed but does not run"
fi

if [ -z "${WSPLICE:-}" ]; then
    cargo build --release --locked --quiet
    WSPLICE="${CARGO_TARGET_DIR:-target}/release/wsplice"
fi
exec python3 tests/autobahn/run.py --wsplice "$WSPLICE" --venv "$venv" "$@"
