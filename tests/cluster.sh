#!/usr/bin/env bash
# tests/cluster.sh [MESSAGES [ENGINE]]: nine senders and sixty members, in three rooms on three nodes of the release binary, over a real
# Redis and a real NATS (ENGINE, redis or nats, chooses one). All members of a room must see every message once and in the same order,
# while connections to the engine are cut again and again, one node and the engine are stopped for seconds, and two of the nodes are
# 4 ms and 200 ms away from Redis, or 4 ms and 20 ms from NATS. 1,000,000 messages by default, which takes a few minutes. Then members come to
# 2,000 rooms and leave them for 60 s, after which the engine must have no subscription left.
# tests/with-peers.sh runs the same with 30,000 messages and 2 s, and the other tests with an engine.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

export CLUSTER_MESSAGES="${1:-1000000}" CLUSTER_SECONDS=60
need cargo
install_debian redis-server nats-server
tests=()
for engine in ${2:-redis nats}; do
    tests+=("cluster_faults::${engine}_members_of_three_nodes_see_one_order_and_every_message_once_through_faults")
    tests+=("cluster_faults::two_thousand_rooms_whose_members_come_and_go_leave_no_subscription_in_$engine")
done
cargo test --release --locked --features nats --test peers -- --ignored --exact --nocapture --test-threads=1 "${tests[@]}"
