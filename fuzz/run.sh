#!/usr/bin/env bash
# fuzz/run.sh [SECONDS [TARGET...]] runs fuzz targets concurrently, all of them by default, for 60 seconds by default. It prints
# how often each was executed and how many edges of the code its inputs reach. An hour each of what strangers reach first:
#
#   fuzz/run.sh 3600 handshake rooms deflate
#
# It starts with the seeds and with the inputs that earlier runs found. An input that causes a failure is saved in
# fuzz/artifacts/. Installs cargo-fuzz first when it is missing.
set -euo pipefail
cd "$(dirname "$0")"
. ../tests/install.sh

seconds="${1:-60}"
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || { echo "usage: fuzz/run.sh [SECONDS [TARGET...]]" >&2; exit 2; }
shift || true
if [ "$#" -gt 0 ]; then names=("$@"); else
    names=(fuzz_targets/*.rs)
    names=("${names[@]##*/}")
    names=("${names[@]%.rs}")
fi
for name in "${names[@]}"; do
    [ -e "fuzz_targets/$name.rs" ] || fail "there is no target $name"
done
install_cargo fuzz

# cargo-fuzz passes unstable options. A stable compiler accepts them with RUSTC_BOOTSTRAP.
if [ -z "${RUSTUP_TOOLCHAIN:-}" ] && cargo +nightly --version >/dev/null 2>&1; then
    export RUSTUP_TOOLCHAIN=nightly
else
    export RUSTC_BOOTSTRAP=1
fi

# Use the same versions of the dependencies as wsplice.
cp ../Cargo.lock Cargo.lock
# Their flags apply to all dependencies, so the targets have a target folder of their own.
export CARGO_TARGET_DIR=target
# The address sanitizer finds errors of unsafe code only, and makes the targets several times slower.
nice cargo fuzz build --sanitizer none
built="target/$(rustc -vV | sed -n 's/^host: //p')/release"

declare -A running
for name in "${names[@]}"; do
    mkdir -p "corpus/$name" "artifacts/$name"
    nice "$built/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="artifacts/$name/" "corpus/$name" "seeds/$name" >"artifacts/$name/log" 2>&1 &
    running[$name]=$!
done

status=0
for name in "${!running[@]}"; do
    if wait "${running[$name]}"; then result=ok; else
        result="FAILED, see fuzz/artifacts/$name"
        status=1
    fi
    printf '%-10s %10s executions, %6s edges in %s s: %s\n' "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "artifacts/$name/log")" \
        "$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "artifacts/$name/log" | tail -n 1)" "$seconds" "$result"
done
exit "$status"
