#!/usr/bin/env bash
# Runs the tests that need real peers: servers, clients and a browser that other people wrote. Installs what is missing
# first; when everything is there that takes no time. Arguments are passed on to the tests, such as a part of a name; then
# only those are run. --all, before them, runs every case of the Autobahn suite, which takes a quarter of an hour more.
set -euo pipefail
cd "$(dirname "$0")/.."
# Error messages are compared, and backtraces are none of ours.
unset RUST_BACKTRACE
# Where Debian keeps nginx.
PATH="$PATH:/usr/sbin"

suite=()
if [ "${1:-}" = --all ]; then
    suite=(--all)
    shift
fi

say() { printf 'with-peers: %s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

# Lists the Debian packages whose programs are not there.
missing_packages() {
    command -v nginx >/dev/null || echo nginx-light
    command -v socat >/dev/null || echo socat
    # Other programs of this name have no -N, which passes on the end of the input.
    nc -h 2>&1 | grep -q OpenBSD || echo netcat-openbsd
    command -v chromium >/dev/null || echo chromium fonts-liberation
    command -v openssl >/dev/null || echo openssl
    command -v systemd-socket-activate >/dev/null || echo systemd
    python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

for tool in cargo node npm python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing: install it first"
done

mapfile -t packages < <(missing_packages | tr ' ' '\n')
if [ "${#packages[@]}" -gt 0 ]; then
    [ "$(id -u)" -eq 0 ] || fail "missing: ${packages[*]}. As root: apt-get install ${packages[*]}"
    say "installing ${packages[*]}"
    apt-get update -q
    # A package whose service cannot be started here counts as failed, but its program is there: that is what is asked below.
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}" ||
        say "apt-get was not content; going on if the programs are there"
    still="$(missing_packages | tr '\n' ' ')"
    [ -z "$still" ] || fail "still missing: $still"
fi

peers="${CARGO_TARGET_DIR:-target}/peers"
mkdir -p "$peers"
if ! NODE_PATH="$peers/node_modules" node -e 'require("ws"); require("ws7"); require("playwright-core")' 2>/dev/null; then
    say "installing ws 8, ws 7 and playwright-core"
    npm install --prefix "$peers" --no-audit --no-fund --no-save --loglevel=error ws@8 ws7@npm:ws@7 playwright-core@1 ||
        fail "npm could not install ws and playwright-core"
fi
if ! "$peers/venv/bin/python" -c 'import aiohttp, websockets.asyncio' 2>/dev/null; then
    say "installing websockets and aiohttp"
    python3 -m venv --clear "$peers/venv" && "$peers/venv/bin/pip" install --quiet 'websockets>=14' 'aiohttp>=3.11' ||
        fail "pip could not install websockets and aiohttp"
fi
if ! "$peers/websocat/bin/websocat" --version >/dev/null 2>&1; then
    say "building websocat, which takes about two minutes"
    cargo install websocat --version 1.14.1 --locked --quiet --root "$peers/websocat" || fail "websocat could not be built"
fi

# Debian's package of it brings a server and its pages, which would be started; only this tool is wanted.
if ! "$peers/prometheus/usr/bin/promtool" --version >/dev/null 2>&1; then
    say "unpacking promtool"
    package="$(mktemp -d)"
    (
        cd "$package"
        apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }
    ) && dpkg-deb -x "$package"/prometheus_*.deb "$peers/prometheus" || fail "there is no promtool in Debian's prometheus"
    rm -r "$package"
fi

say "$(nginx -v 2>&1), $(openssl version | cut -d' ' -f1-2), chromium, socat, nc, node $(node --version), $(python3 --version)"
# A thousand members and their clients need as many descriptors each.
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 8192 ] || ulimit -n 8192 ||
    fail "this shell may not open enough files: ulimit -Hn says $(ulimit -Hn), 8192 are needed"
# Two at a time: some move hundreds of megabytes, and all have limits.
cargo test --release --locked --test peers -- --ignored --test-threads=2 "$@"
[ "$#" -eq 0 ] || exit 0
tests/interop.sh
tests/autobahn.sh "${suite[@]}"
tests/container.sh
