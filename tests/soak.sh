#!/usr/bin/env bash
# tests/soak.sh [SECONDS [MEMBERS [ROOMS [history]]]]: members join and leave rooms of the release binary, for 600 seconds by default, 15,000
# of them in 1,000 rooms. With the word `history` the rooms send their last messages to whoever joins. Checks that each receives all messages of
# its room in one order, that the server's memory does not grow after the first minute, and that nothing is left when all are gone. Prints
# how much memory there was, and its slope.
# tests/with-peers.sh runs the same for 20 seconds with a tenth of the members.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

export SOAK_SECONDS="${1:-600}" SOAK_MEMBERS="${2:-15000}" SOAK_ROOMS="${3:-1000}"
need cargo
# The members and the server need as many descriptors each.
wanted=$((SOAK_MEMBERS + 1000))
[ "$(ulimit -n)" = unlimited ] || [ "$(ulimit -n)" -ge "$wanted" ] || ulimit -n "$wanted" ||
    fail "this shell may not open enough files: ulimit -Hn says $(ulimit -Hn), $wanted are needed"
rooms="rooms${4:+_with_a_history}"
cargo test --release --locked --test peers -- --ignored --exact --nocapture \
    "rooms_soak::${rooms}_whose_members_come_and_go_lose_nothing_and_do_not_grow"
