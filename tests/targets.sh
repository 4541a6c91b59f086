#!/usr/bin/env bash
# Lints wsplice for every system that it is for, and runs it on those that this machine can imitate: tests of tests/suite drive the
# static binary for x86_64 natively, the one for arm64 under qemu, and the one for Windows under wine. zig is the C compiler and the
# linker. Installs what is missing first. --lint only lints, one target for each system. --build also builds for the systems on which it
# cannot be run here, and --write makes docs/platforms.md of what was done. Arguments after these choose targets; the rows of others stay
# as they are.
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
        --write) writes=yes ;;
        --build) builds=yes ;;
        --lint) lints_only=yes ;;
        *) fail "usage: tests/targets.sh [--lint | [--build] [--write]] [TARGET...]" ;;
    esac
    shift
done

# TARGET|SYSTEM|HOW IT IS RUN
all=(
    'x86_64-unknown-linux-gnu|Linux, x86_64, glibc|all tests'
    'aarch64-unknown-linux-gnu|Linux, arm64, glibc|'
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
wine=/usr/lib/wine/wine64
cleanup() {
    local status=$?
    [ ! -d "$work/prefix" ] || WINEPREFIX="$work/prefix" "${wine%64}server64" -k 2>/dev/null || true
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
    WSPLICE="$work/wsplice" cargo test --locked --quiet --test suite -- "$@" >"$work/said" 2>&1 || {
        cat "$work/said" >&2
        fail "the tests failed with: ${command[*]}"
    }
    tests="$(sed -n 's/^test result: ok\. \([0-9]*\) passed.*/\1/p' "$work/said" | awk '{ sum += $1 } END { print sum }')"
}

# Runs what was built, and sets $run to what was tested.
run_natively() {
    build "$1"
    run_suite "$binary" -- "${linux_tests[@]}"
    run="natively: $tests tests"
    # Of 2005: a newer instruction that is not looked for first is SIGILL.
    install_debian qemu-user-static
    run_suite qemu-x86_64-static -cpu Opteron_G1 "$binary" -- "${cpu_tests[@]}"
    run+="; $(qemu_version) as an Opteron of the first generation: $tests tests"
}
run_qemu() {
    install_debian qemu-user-static
    build "$1"
    # qemu does not pass on the options of multicasts; the other one is about times.
    run_suite qemu-aarch64-static -cpu cortex-a53 "$binary" -- "${linux_tests[@]}" --skip a_group_receives_what_is_sent_to_it \
        --skip a_server_that_sends_nothing_is_left_when_its_pong_has_come
    run="$(qemu_version) as a Cortex-A53: $tests tests"
}
qemu_version() { qemu-aarch64-static --version | sed -n 's/.*version \([0-9.]*\).*/qemu \1/p'; }
run_wine() {
    install_debian wine64
    build "$1"
    export WINEPREFIX="$work/prefix" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
    # Debian 12's wine lacks this library of Windows 10, of which Rust's standard library needs one function.
    printf '%s\n' '#include <windows.h>' '#include <ntsecapi.h>' \
        '__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) { return RtlGenRandom(bytes, (ULONG)length); }' \
        >"$work/prng.c"
    python-zig cc -target x86_64-windows-gnu -shared -o "$(dirname "$binary")/bcryptprimitives.dll" "$work/prng.c" -ladvapi32
    "$wine" wineboot --init >"$work/said" 2>&1 || fail "wine does not start: $(cat "$work/said")"
    try_windows
    run="$("$wine" --version | sed 's/^wine-/wine /; s/ (.*//'): an echo, a room, TLS, UDP, files, programs, pipes"
}

# WHAT WANTED GOT
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }
# Starts a listener, and waits until it has told its port.
listen() {
    "$wine" "$binary" -q --stdout-announce-listening-ports "$@" >"$work/port" &
    listener=$!
    local end=$((SECONDS + 60))
    until grep -q port= "$work/port"; do
        [ "$SECONDS" -lt "$end" ] || fail "it does not listen: $*"
        sleep 0.1
    done
    port="$(sed 's/.*port=//' "$work/port" | tr -d '\r')"
}
client() { timeout 60 "$wine" "$binary" -q "$@"; }

# Not the exit codes: wine kills a process that ends while it has threads, and so loses them now and then.
try_windows() {
    same "a pipe" works "$(client literal:works - </dev/null || true)"
    same "a program of the shell" hello "$(client 'cmd:echo hello' - </dev/null | tr -d '\r')"
    said="$(client unix:/tmp/a - 2>&1 </dev/null || true)"
    [[ "$said" == *'no unix sockets on Windows'* ]] || fail "a row that is absent: $said"
    listen ws-l:127.0.0.1:0 mirror:
    same "an echo" hello "$(echo hello | client -1 "ws://127.0.0.1:$port/" || true)"
    kill "$listener"
    listen udp-server:127.0.0.1:0 mirror:
    same "a session for a sender of datagrams" "one two " "$(printf 'one\ntwo\n' | client - "udp:127.0.0.1:$port" | tr '\n' ' ' || true)"
    kill "$listener"
    listen tcp-l:127.0.0.1:0 "writefile:$work/written"
    client -u -b "readfile:$binary" "tcp:127.0.0.1:$port" || true
    local end=$((SECONDS + 60))
    until cmp -s "$binary" "$work/written"; do
        [ "$SECONDS" -lt "$end" ] || fail "a file through TCP into a file"
        sleep 0.1
    done
    kill "$listener"
    listen --broadcast ws-l:127.0.0.1:0
    mkfifo "$work/say"
    client --replies 2 "ws://127.0.0.1:$port/room" <"$work/say" >"$work/heard" &
    local member=$!
    end=$((SECONDS + 60))
    exec 3>"$work/say"
    echo one >&3
    until grep -q one "$work/heard"; do
        [ "$SECONDS" -lt "$end" ] || fail "the first member hears nothing"
        sleep 0.1
    done
    same "the second member hears itself" two "$(echo two | client -1 "ws://127.0.0.1:$port/room" || true)"
    wait "$member" || true
    exec 3>&-
    same "the first member hears both" 'one two ' "$(tr '\n' ' ' <"$work/heard")"
    kill "$listener"
    listen wss-l:127.0.0.1:0 --self-signed exec:cmd --exec-args /C 'echo hello'
    same "a program over TLS" hello "$(client -k "wss://127.0.0.1:$port/" </dev/null | tr -d '\r')"
    kill "$listener"
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
    run=no
    if [ "$runner" = 'all tests' ]; then
        # The other parts of .ci/run do it.
        built=yes run='all tests'
    else
        lint "$target"
        case "$runner" in
            natively | qemu | wine) built=yes && "run_$runner" "$target" ;;
            *) if [ "$builds" = yes ]; then compile "$target"; else built='not tried'; fi ;;
        esac
    fi
    made[$target]="| \`$target\` | $system | yes | $built | $run |"
    say "$target: linted; built: $built; run: $run"
done

[ "$writes" = yes ] || exit 0
rows=()
for row in "${all[@]}"; do
    IFS='|' read -r target system _ <<<"$row"
    untried="| \`$target\` | $system | not tried | not tried | not tried |"
    rows+=("${made[$target]:-$(grep -F "| \`$target\` |" "$document" || echo "$untried")}")
done
cat >"$document" <<END
# Platforms

<!-- Written by \`tests/targets.sh --write\`; do not edit. -->

$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print("wsplice", json.load(sys.stdin)["packages"][0]["version"])'), $(rustc --version | cut -d' ' -f1-2), zig $(python-zig version), on $(uname -sm); $(date -u +%F).

| target | system | linted | built | run |
|---|---|---|---|---|
$(printf '%s\n' "${rows[@]}")

Under qemu and natively, the tests are those of \`tests/suite\` that need no more of the system than what is imitated; they drive the real binary over real sockets.
Under wine the script drives it.
"All tests" are those of \`.ci/run\`. For macOS and FreeBSD there is no machine here: the code is linted with the standard library of that system, and not run. The
workflow that makes releases builds for macOS on macOS, and tries an echo there.

Binaries are built for the oldest CPU of their architecture, so none is too old for them: what a newer CPU can do better (AES, AVX2) is
looked for when they run. The tests above ran on CPUs of 2005 (x86_64) and 2012 (arm64), which qemu imitates.

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
