#!/usr/bin/env bash
# fuzz/run.sh [SECONDS] runs all fuzz targets concurrently, for 60 seconds by default, and prints the number of executions.
# It starts with the seeds and with the inputs that earlier runs found. An input that causes a failure is saved in
# fuzz/artifacts/. Installs cargo-fuzz first when it is missing.
set -euo pipefail
cd "$(dirname "$0")"
. ../tests/install.sh

seconds="${1:-60}"
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || { echo "usage: fuzz/run.sh [SECONDS]" >&2; exit 2; }
install_cargo_fuzz

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
for file in fuzz_targets/*.rs; do
    name="$(basename "$file" .rs)"
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
    printf '%-10s %10s executions in %s s: %s\n' "$name" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' "artifacts/$name/log")" "$seconds" "$result"
done
exit "$status"
