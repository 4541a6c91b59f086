#!/usr/bin/env bash
# Runs the tests of the rooms with ThreadSanitizer, which reports accesses to memory that race: the unit tests, those in tests/suite with
# the real binary, and without arguments those of clusters with a real Redis and a real NATS. Needs a nightly toolchain with its rust-src
# component, which is added if rustup has it, since the standard library is built with the sanitizer as well. Arguments are passed on to the
# tests, such as a part of a name. Takes 20 minutes, most of it to build.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
# Tests compare error messages, which would have a backtrace at their end.
unset RUST_BACKTRACE

need cargo rustup
install_debian redis-server nats-server
rustup component add rust-src --toolchain nightly >/dev/null 2>&1 || fail "there is no nightly toolchain with rust-src"
host="$(rustc -vV | sed -n 's/^host: //p')"
reports="$(mktemp -d)"
# Each process writes its own file; the tests do not fail of that.
export TSAN_OPTIONS="suppressions=$PWD/tests/thread-sanitizer.txt log_path=$reports/report exitcode=0"
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread" CARGO_PROFILE_DEV_DEBUG=line-tables-only
sanitized() {
    cargo +nightly test --locked --features nats -Zbuild-std --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}/thread-sanitizer" "$@"
}
sanitized --lib rooms:: "$@"
# Without those that compare memory or time, which the sanitizer multiplies. Others may fail on a busy machine for the same reason;
# what is looked for is in the reports.
sanitized --test suite rooms "$@" -- --test-threads=2 --skip memory --skip freed --skip thousand --skip fair ||
    say "some tests failed, which is no data race: the sanitizer makes everything slower"
# libfaketime cannot be loaded into it; the last two take long.
if [ "$#" -eq 0 ]; then
    sanitized --test peers -- --ignored --test-threads=2 cluster --skip clocks --skip two_thousand --skip through_faults ||
        say "some tests of clusters failed, which is no data race"
fi
if [ -n "$(ls -A "$reports")" ]; then
    cat "$reports"/* >&2
    fail "data races: see above, and $reports"
fi
rmdir "$reports"
say "no data races"
