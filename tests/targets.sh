#!/usr/bin/env bash
# Lints wsplice for every system that it is for, and runs it on those that this machine can imitate: tests of tests/suite drive the
# static binary for x86_64 natively, the one for arm64 under qemu, and tests/windows.sh the one for Windows. zig is the C compiler and the
# linker. Installs what is missing first. --lint only lints, one target for each system. --build also builds for the systems on which it
# cannot be run here, and runs all tests on this one. --write does that for all targets, and makes docs/platforms.md of it. Other arguments
# choose targets.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
# Tests compare error messages, which would have a backtrace at their end.
unset RUST_BACKTRACE
export CARGO_PROFILE_DEV_DEBUG="${CARGO_PROFILE_DEV_DEBUG:-0}"

document=docs/platforms.md
lints_only=no writes=no builds=no
while [[ "${1:-}" == --* ]]; do
    case "$1" in
        --write) writes=yes builds=yes ;;
        --build) builds=yes ;;
        --lint) lints_only=yes ;;
        *) fail "usage: tests/targets.sh [--lint | --build] [TARGET...] | --write" ;;
    esac
    shift
done
[ "$writes" = no ] || [ "$#" -eq 0 ] || fail "--write is for all targets: the rows of the document are of one run"

# TARGET|SYSTEM|HOW IT IS RUN
all=(
    'x86_64-unknown-linux-gnu|Linux, x86_64, glibc|host'
    'aarch64-unknown-linux-gnu|Linux, arm64, glibc|glibc_qemu'
    'x86_64-unknown-linux-musl|Linux, x86_64, static|natively'
    'aarch64-unknown-linux-musl|Linux, arm64, static|qemu'
    'aarch64-apple-darwin|macOS, arm64|'
    'x86_64-apple-darwin|macOS, x86_64|'
    'x86_64-pc-windows-gnu|Windows, x86_64|wine'
    'x86_64-unknown-freebsd|FreeBSD, x86_64|'
)

# One for each system: no code is left out for an architecture (tests/suite/packages.rs).
systems=(aarch64-unknown-linux-musl aarch64-apple-darwin x86_64-pc-windows-gnu x86_64-unknown-freebsd)

# Tests that need no more of the system than what is imitated.
linux_tests=(devices:: endings:: grammar:: handshake:: lines:: programs:: rooms:: standard_streams:: static_directory:: tls:: udp:: unix_sockets::)

# Tests of what has code for newer CPUs: encryption, hashes, masks, compression, searches in text.
cpu_tests=(deflate:: handshake:: lines:: rooms:: tls::)

# What qemu imitates: the first x86_64, of 2003, and the most usual of the first arm64, of 2012.
opteron=(qemu-x86_64-static -cpu 'Opteron_G1,-sse3')
cortex=(qemu-aarch64-static -cpu cortex-a53)

# TARGET...: lints without a C compiler for these systems. Nothing is linked, so nobody misses the objects.
lint() {
    local target targets=() variables=(SDKROOT=/)
    for target in "$@"; do
        targets+=(--target "$target")
        variables+=("CC_${target//-/_}=true" "AR_${target//-/_}=true")
    done
    env "${variables[@]}" cargo clippy --locked --quiet "${targets[@]}" -- -D warnings
}

need cargo rustup
if [ "$lints_only" = yes ]; then
    [ "$#" -gt 0 ] || set -- "${systems[@]}"
    install_targets "$@"
    lint "$@"
    exit
fi

[ "$#" -gt 0 ] || set -- "${all[@]%%|*}"
need python3
install_targets "$@"
install_zig

work="$(mktemp -d "${TMPDIR:-/tmp}/wsplice-targets.XXXXXX")"
cleanup() {
    local status=$?
    rm -rf "$work" || true
    exit "$status"
}
trap cleanup EXIT

target_folder="${CARGO_TARGET_DIR:-target}"

# TARGET: builds the binary.
build() {
    cargo zigbuild --locked --quiet --target "$1"
    binary="$(realpath "$target_folder/$1/debug")/wsplice"
    [ -e "$binary" ] || binary="$binary.exe"
}

# COMMAND... -- TEST...: runs tests with a program in place of the binary.
run_suite() {
    local command=()
    while [ "$1" != -- ]; do
        command+=("$1")
        shift
    done
    shift
    printf '#!/bin/sh\nexec %s "$@"\n' "${command[*]}" >"$work/wsplice"
    chmod +x "$work/wsplice"
    WSPLICE="$work/wsplice" run_tests --test suite -- "$@"
}
# ARGUMENT...: runs tests with cargo, and sets $tests to how many there were.
run_tests() {
    cargo test --locked --quiet "$@" >"$work/said" 2>&1 || {
        cat "$work/said" >&2
        fail "these tests failed: $*"
    }
    tests="$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$work/said" | awk '{ sum += $1 } END { print sum }')"
}

# Runs what was built, and sets $run to what was tested.
run_host() {
    run_tests
    run="all $tests tests"
}
run_natively() {
    build "$1"
    run_suite "$binary" -- "${linux_tests[@]}"
    run="natively: $tests tests"
    install_debian qemu-user-static
    # SSE3, which only the Opteron of 2005 has.
    newer_instruction_ends x86_64-linux-musl 'haddps %xmm0, %xmm0' "${opteron[@]}"
    run_suite "${opteron[@]}" "$binary" -- "${cpu_tests[@]}"
    run+="; $(qemu_version) as the first Opteron: $tests tests"
}
run_qemu() {
    install_debian qemu-user-static
    build "$1"
    newer_instruction_ends aarch64-linux-musl '.arch_extension lse\n ldadd x0, x0, [sp]' "${cortex[@]}"
    # qemu 7.2 does not pass on IP_MULTICAST_IF, and the system cannot run the binary for jq programs without binfmt_misc.
    run_suite "${cortex[@]}" "$binary" -- "${linux_tests[@]}" --skip a_group_receives_what_is_sent_to_it --skip jq_programs:: --skip slow_programs::
    run="$(qemu_version) as a Cortex-A53: $tests tests"
}
run_glibc_qemu() {
    install_debian qemu-user-static libc6-arm64-cross
    build "$1"
    run_suite "${cortex[@]}" -L /usr/aarch64-linux-gnu "$binary" -- "${cpu_tests[@]}"
    run="$(qemu_version) as a Cortex-A53: $tests tests"
}
# TARGET INSTRUCTION QEMU...: a program with an instruction that this CPU lacks ends with SIGILL, so tests that pass prove that there are none.
newer_instruction_ends() {
    local target="$1" code=0
    printf 'int main(void) { __asm__ volatile("%s"); return 0; }\n' "$2" >"$work/newer.c"
    shift 2
    python-zig cc -target "$target" -o "$work/newer" "$work/newer.c"
    { "$@" "$work/newer" || code=$?; } 2>/dev/null
    [ "$code" -eq 132 ] || fail "qemu imitates a newer CPU than it was told: $* ended with $code"
}
qemu_version() { qemu-aarch64-static --version | sed -n 's/.*version \([0-9.]*\).*/qemu \1/p'; }
run_wine() {
    build "$1"
    run="$(tests/windows.sh "$binary" | tail -n 1): an echo, a room, TLS, UDP, files, programs, pipes" || fail "the binary for Windows"
}

# Where it cannot be linked, since Apple's frameworks are missing, the library is compiled.
compile() {
    if cargo zigbuild --locked --quiet --target "$1" 2>"$work/said"; then
        built=yes
    else
        cargo zigbuild --locked --quiet --lib --target "$1"
        built='compiled, not linked'
    fi
}

declare -A made
for row in "${all[@]}"; do
    IFS='|' read -r target system runner <<<"$row"
    [[ " $* " == *" $target "* ]] || continue
    say "$target"
    run=no built=yes
    case "$runner" in
        host)
            if [ "$builds" = no ]; then
                say "left to the other parts of .ci/run"
                continue
            fi
            cargo clippy --all-targets --locked --quiet -- -D warnings
            run_host
            ;;
        natively | qemu | wine)
            lint "$target"
            "run_$runner" "$target"
            ;;
        *)
            lint "$target"
            if [ "$builds" = no ]; then
                built='not tried'
            elif [ -n "$runner" ]; then
                "run_$runner" "$target"
            else
                compile "$target"
            fi
            ;;
    esac
    made[$target]="| \`$target\` | $system | yes | $built | $run |"
    say "$target: linted; built: $built; run: $run"
done

[ "$writes" = yes ] || exit 0
rows=()
for row in "${all[@]}"; do
    rows+=("${made[${row%%|*}]}")
done
cat >"$document" <<END
# Platforms

<!-- Written by \`tests/targets.sh --write\`; do not edit. -->

$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print("wsplice", json.load(sys.stdin)["packages"][0]["version"])'), $(rustc --version | cut -d' ' -f1-2), zig $(python-zig version), on $(uname -sm); $(date -u +%F).

| target | system | linted | built | run |
|---|---|---|---|---|
$(printf '%s\n' "${rows[@]}")

All rows are of one run. "All tests" are those of \`cargo test\`. Under qemu and natively, the tests are those of \`tests/suite\` that need no
more of the system than what is imitated; they drive the real binary over real sockets. For arm64 that of multicasts is left out, whose
network interface qemu 7.2 does not pass on, and those of jq programs, for which the binary starts itself: the kernel does not know how to
run it. Under wine the script drives the binary.

For macOS and FreeBSD the code is linted with the standard library of that system, and not run. For macOS it
cannot be linked here, since Apple's frameworks are missing; the workflow that makes releases builds for macOS on macOS, and tries an
echo there.

Binaries are built for the oldest CPU of their architecture, so none is too old for them: what a newer CPU can do better (AES, AVX2) is
looked for when they run. The tests above ran on CPUs of 2003 (x86_64) and 2012 (arm64), which qemu imitates; the script also tries that
qemu ends a program with an instruction that these lack.

## What is absent

An address that a system lacks stays in the table: the error says why. The same holds for options.

| | Linux | macOS, FreeBSD | Windows |
|---|---|---|---|
| clients, listeners, rooms, TLS, proxies, UDP, files, \`stdio:\` | yes | yes | yes |
| \`exec:\`, \`sh-c:\`, \`exec-dir:\` | yes | yes | yes; \`cmd:\` runs \`cmd /C\` |
| end of a program with its session | SIGHUP, SIGTERM, SIGKILL | the same | the end of its input; after \`--grace\` it is killed with what it has started |
| end of a program when wsplice is killed | killed | not killed | not killed |
| \`--pty\`, \`--exec-sighup-on-stdin-close\`, \`--exec-sighup-on-zero-msg\` | yes | yes | no |
| \`term:\`, the line editor | yes | yes | no: lines are read as from a pipe |
| \`unix:\`, \`unix-listen:\`, \`ws+unix:\`, \`l-ws-unix:\` | yes | yes | no |
| \`abstract:\`, \`abstract-listen:\`, \`l-ws-abstract:\`, \`unix-dgram:\`, \`abstract-dgram:\`, \`seqpacket:\`, \`seqpacket-listen:\` | yes | no | no |
| \`inetd:\`, \`inetd-ws:\`, \`tcp-listen-fd:\`, \`unix-listen-fd:\`, \`open-fd:\`, \`open-async:\` | yes | yes | no |
| bytes between two plain sockets | moved by the kernel (splice(2)) | copied | copied |
| SIGHUP, which reads certificates and tokens again | yes | yes | no |
| shutdown | SIGINT, SIGTERM | the same | Ctrl-C, Ctrl-Break, closing the console, shutdown of the machine |
| default of \`--max-memory\` | half of the memory of the machine or cgroup | none | none |
| messages to the service manager | yes | if there is one | no |
| limit on descriptors | raised | raised, on macOS to 10,240 | none |
END
