#!/usr/bin/env bash
# Runs the tests that `cargo test` leaves out: those that need servers, clients and a browser that other people wrote, and
# those that move much data or open many connections. Installs what is missing first. Arguments are passed on to the tests,
# such as a part of a name; then only those are run. --all, before them, runs every case of the Autobahn suite, which takes
# a quarter of an hour more.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
# Tests compare error messages, which would have a backtrace at their end.
unset RUST_BACKTRACE

suite=()
if [ "${1:-}" = --all ]; then
    suite=(--all)
    shift
fi

need bash cargo node npm python3
install_debian nginx-light socat netcat-openbsd tinyproxy microsocks dante-server zsh chromium fonts-liberation openssl systemd python3-venv iproute2 libfaketime tmux redis-server nats-server
install_node_modules
install_python_modules
install_websocat
install_promtool

say "$(nginx -v 2>&1), $(openssl version | cut -d' ' -f1-2), chromium, socat, nc, node $(node --version), $(python3 --version)"
# Ten thousand members and their clients need as many descriptors each.
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge 16384 ] || ulimit -n 16384 ||
    fail "this shell may not open enough files: ulimit -Hn says $(ulimit -Hn), 16384 are needed"
# The tests are a debug build, as for `cargo test`; what they run is the release. Linking that takes one core, so the tests of clusters are built
# meanwhile: with the feature that releases do not have, and a binary that has it, too. All have "cluster" in their path.
cluster=(cargo test --locked --features nats --lib --test peers)
(release_build) &
building=$!
"${cluster[@]}" --no-run
wait "$building" || fail "the release cannot be built"
release_build
# Two at a time: some move hundreds of megabytes, and all have limits.
WSPLICE="$WSPLICE" cargo test --locked --test peers --test suite -- --ignored --skip cluster --test-threads=2 "$@"
if [ "$#" -eq 0 ] || [[ "$*" == *cluster* ]]; then
    env -u WSPLICE "${cluster[@]}" -- --ignored --test-threads=2 "${@:-cluster}"
fi
[ "$#" -eq 0 ] || exit 0
tests/interop.sh
tests/websocat.sh
tests/autobahn.sh "${suite[@]}"
tests/container.sh
