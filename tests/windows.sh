#!/usr/bin/env bash
# Runs a binary for Windows under wine: tests/windows.sh BINARY. Installs what is missing first. Its last line is the version of wine.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh

[ "$#" -eq 1 ] || fail "usage: tests/windows.sh BINARY"
binary="$(realpath "$1")"
need python3
install_debian wine64
install_zig

work="$(mktemp -d "${TMPDIR:-/tmp}/wsplice-windows.XXXXXX")"
wine=/usr/lib/wine/wine64
cleanup() {
    local status=$?
    WINEPREFIX="$work/prefix" "${wine%64}server64" -k 2>/dev/null || true
    rm -rf "$work" || true
    exit "$status"
}
trap cleanup EXIT

export WINEPREFIX="$work/prefix" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
cp "$binary" "$work/wsplice.exe"
binary="$work/wsplice.exe"
# Debian 12's wine lacks this library of Windows 10, of which Rust's standard library needs one function.
printf '%s\n' '#include <windows.h>' '#include <ntsecapi.h>' \
    '__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) { return RtlGenRandom(bytes, (ULONG)length); }' \
    >"$work/prng.c"
python-zig cc -target x86_64-windows-gnu -shared -o "$work/bcryptprimitives.dll" "$work/prng.c" -ladvapi32
"$wine" wineboot --init >"$work/said" 2>&1 || fail "wine does not start: $(cat "$work/said")"

# WHAT WANTED GOT
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }
# Starts a listener, and waits until it has told its port.
listen() {
    : >"$work/port"
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
# What tests/suite/udp.rs tries with programs of a Unix shell: the only place is free again when its client was silent for three seconds.
listen udp-server:127.0.0.1:0 --udp-server-max-clients 1 --udp-server-timeout 3 'cmd:echo %REMOTE_PORT%&set /p line='
same "a program for each sender of datagrams, one after the other" "True True" "$(python3 -c '
import socket, sys, time

def session():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(("127.0.0.1", int(sys.argv[1])))
    client.settimeout(1)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        client.send(b"hello")
        try:
            return client.recv(100).split() == [str(client.getsockname()[1]).encode()]
        except TimeoutError:
            pass
print(session(), session())' "$port")"
kill "$listener"
listen tcp-l:127.0.0.1:0 "writefile:$work/written"
client -u -b "readfile:$binary" "tcp:127.0.0.1:$port" || true
end=$((SECONDS + 60))
until cmp -s "$binary" "$work/written"; do
    [ "$SECONDS" -lt "$end" ] || fail "a file through TCP into a file"
    sleep 0.1
done
kill "$listener"
listen --broadcast ws-l:127.0.0.1:0
mkfifo "$work/say"
client --replies 2 "ws://127.0.0.1:$port/room" <"$work/say" >"$work/heard" &
member=$!
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

"$wine" --version | sed 's/^wine-/wine /; s/ (.*//'
