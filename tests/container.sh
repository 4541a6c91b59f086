#!/usr/bin/env bash
# Builds the image from Dockerfile and runs it as operators do, with podman. Installs what is missing first. The build
# downloads nothing: an almost empty image takes the place of the rust image, and the toolchain and the crates of this
# machine are mounted. Images and containers are kept in a folder of their own, which is removed at the end. --arm64 builds
# the image for arm64 instead, and runs it under qemu as a Cortex-A53: an echo and a room only.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

limit=10500000
architecture=amd64
[ "${1:-}" != --arm64 ] || architecture=arm64

[ "$(id -u)" -eq 0 ] || fail "it needs root: the containers have networks and users of their own"
need cargo rustc
if [ "$architecture" = arm64 ]; then
    install_debian gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
    install_targets aarch64-unknown-linux-gnu
fi
install_debian buildah podman runc conmon netavark aardvark-dns iptables ca-certificates openssl curl

work="$(mktemp -d "${TMPDIR:-/tmp}/wsplice-container.XXXXXX")"
cleanup() {
    local status=$?
    mapfile -t running < <(jobs -pr)
    [ "${#running[@]}" -eq 0 ] || kill "${running[@]}" || true
    podman rm --all --force --time 0 >/dev/null 2>&1 || true
    podman image rm --all --force >/dev/null 2>&1 || true
    # podman mounts a part of its storage on itself.
    umount "$work/graph/overlay" 2>/dev/null || true
    rm -rf "$work" || true
    exit "$status"
}
trap cleanup EXIT

# Where everything is kept. Inside another container podman's own limits need a capability that is missing, and crun
# may refuse the control groups.
export CONTAINERS_STORAGE_CONF="$work/storage.conf" CONTAINERS_CONF="$work/containers.conf"
printf '[storage]\ndriver = "%s"\ngraphroot = "%s"\nrunroot = "%s"\n' overlay "$work/graph" "$work/run" \
    >"$CONTAINERS_STORAGE_CONF"
cat >"$CONTAINERS_CONF" <<END
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "$work/tmp"
[network]
network_backend = "netavark"
network_config_dir = "$work/networks"
END

# The image in place of the rust image: folders and the CA certificates, which COPY cannot take from a mount.
toolchain="$(rustc --print sysroot)"
crates="${CARGO_HOME:-$HOME/.cargo}"
builder="$(buildah from scratch)"
root="$(buildah mount "$builder")"
mkdir -p "$root"/{usr,etc/ssl/certs,tmp,var/tmp,proc,sys,dev,run,root}
chmod 1777 "$root/tmp" "$root/var/tmp"
ln -s usr/bin usr/lib usr/lib64 usr/sbin "$root/"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
# Its links lead to the C compiler.
cp -a /etc/alternatives "$root/etc/"
buildah config --env PATH="$toolchain/bin:/usr/bin:/bin" --env CARGO_HOME="$crates" --env CARGO_NET_OFFLINE=true "$builder"
# buildah 1.28 takes an image of the final architecture for the first stage, too, whatever --platform says there.
[ "$architecture" = amd64 ] || buildah config --arch "$architecture" "$builder"
buildah umount "$builder" >/dev/null
buildah commit --quiet --rm "$builder" localhost/rust >/dev/null

# Servers in containers, and clients in others.
try_arm64() {
    local run=(podman run --no-healthcheck --network host -v "$(command -v qemu-aarch64-static):/qemu:ro" --entrypoint /qemu)
    local options=(-cpu cortex-a53 /usr/local/bin/wsplice) port
    [ "$(podman image inspect --format '{{.Architecture}}' $image)" = arm64 ] || fail "the image is not for arm64"
    start_arm64 echo ws-l:127.0.0.1:0 mirror:
    same "an echo under qemu" hello "$(echo hello | timeout 60 "${run[@]}" --rm -i $image "${options[@]}" -1 "ws://127.0.0.1:$port/")"
    start_arm64 rooms --broadcast --self-signed wss-l:127.0.0.1:0
    same "a room over TLS under qemu" hello \
        "$(echo hello | timeout 60 "${run[@]}" --rm -i $image "${options[@]}" -k -1 "wss://127.0.0.1:$port/room")"
}
# NAME ARGUMENT...: starts a server, and sets $port to where it listens.
start_arm64() {
    local end=$((SECONDS + 60))
    "${run[@]}" -d --name "$1" $image "${options[@]}" --stdout-announce-listening-ports "${@:2}" >/dev/null
    until port="$(podman logs "$1" 2>&1 | sed -n 's/.*port=\([0-9]*\)$/\1/p')" && [ -n "$port" ]; do
        [ "$SECONDS" -lt "$end" ] || fail "it does not listen: $(podman logs "$1" 2>&1)"
        sleep 0.1
    done
}

# WHAT WANTED GOT
same() {
    [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
    say "ok: $1"
}

say "building"
start=$SECONDS
cargo fetch --locked --quiet
target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"
target="$(realpath "$target")"
platform=()
[ "$architecture" = amd64 ] || platform=(--platform "linux/$architecture")
buildah build --quiet --pull=never --isolation chroot --network host --format docker \
    --build-arg RUST_IMAGE=localhost/rust "${platform[@]}" \
    -v /usr:/usr:ro -v "$toolchain:$toolchain:ro" -v "$crates:$crates" -v "$target:/src/target" \
    -t localhost/wsplice . >/dev/null
image=localhost/wsplice
say "built in $((SECONDS - start)) s"

size="$(podman image inspect --format '{{.Size}}' $image)"
[ "$size" -le "$limit" ] || fail "$size bytes, more than $limit"
say "$size bytes, at most $limit"

if [ "$architecture" = arm64 ]; then
    try_arm64
    say "everything passed after $SECONDS s"
    exit
fi

# The same binary on this machine is the client.
wsplice="$work/wsplice"
layer="$(podman image mount $image)"
cp "$layer/usr/local/bin/wsplice" "$wsplice"
[ -s "$layer/etc/ssl/certs/ca-certificates.crt" ] || fail "no authorities' certificates"
[ ! -e "$layer/bin" ] || fail "there is more in it than the binary"
podman image unmount $image >/dev/null
tests/static-binary.sh "$wsplice"

# Tries a command until it succeeds, for at most ten seconds.
eventually() {
    local end=$((SECONDS + 10))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "waited in vain for: $*"
        sleep 0.1
    done
}
# The host's port of a container's port.
port() { podman port "$1" "$2/tcp" | sed 's/.*://'; }
# podman reports an error where there is no systemd for the health check's timer; the check is run by hand below.
run() { podman run --rm --no-healthcheck "$@"; }
# Detached, with its health check, and with 8080 published at a free port.
serve() { podman run -d -p 127.0.0.1::8080 "$@" >/dev/null 2>"$work/said" || fail "$(cat "$work/said")"; }
# NAME SIGNAL CODE: it ends soon by itself, not by SIGKILL after the time limit.
ends() {
    local start=$SECONDS
    if [ "$2" = TERM ]; then podman stop --time 10 "$1"; else podman kill --signal "$2" "$1"; fi >/dev/null 2>"$work/said"
    same "$1 ends with $3 on SIG$2" "$3" "$(timeout 10 podman wait "$1")"
    [ $((SECONDS - start)) -le 3 ] || fail "$1 took $((SECONDS - start)) s to end"
}

same "it is built for whoever runs it without arguments" \
    '[/usr/local/bin/wsplice] [--broadcast ws-l:0.0.0.0:8080] 65532:65532 SIGTERM map[8080/tcp:{}]' \
    "$(podman image inspect --format '{{.Config.Entrypoint}} {{.Config.Cmd}} {{.Config.User}} {{.Config.StopSignal}} {{.Config.ExposedPorts}}' $image)"

# The room server. Two members from this machine; each receives the messages of both.
serve --name rooms --read-only --cap-drop ALL --security-opt no-new-privileges $image
at="127.0.0.1:$(port rooms 8080)"
eventually curl -fsS "http://$at/healthz"
same "GET /healthz through the published port" 200 "$(curl -s -o /dev/null -w '%{http_code}' "http://$at/healthz")"
same "a plain GET is told to upgrade" 426 "$(curl -s -o /dev/null -w '%{http_code}' "http://$at/")"
mkfifo "$work/say"
"$wsplice" --replies 2 "ws://$at/room?a" <"$work/say" >"$work/first" &
first=$!
exec 3>"$work/say"
echo one >&3
eventually grep -q one "$work/first"
same "another room is another room" elsewhere "$(echo elsewhere | "$wsplice" -1 "ws://$at/room?b")"
same "the second member hears itself" two "$(echo two | "$wsplice" -1 "ws://$at/room?a")"
wait "$first" || fail "the first member's exit code is $?"
exec 3>&-
same "the first member hears both" 'one two' "$(tr '\n' ' ' <"$work/first" | sed 's/ $//')"
same "it is the user that the image names" '65532 65532' \
    "$(awk '/^[UG]id:/ { printf "%s%s", (n++ ? " " : ""), $3 }' "/proc/$(podman inspect --format '{{.State.Pid}}' rooms)/status")"
same "its log begins with where it listens" '* listening: ws-listen:0.0.0.0:8080' "$(podman logs rooms 2>&1 | head -1)"
podman healthcheck run rooms || fail "the health check failed"
same "the health check is kept by the image" healthy "$(podman inspect --format '{{.State.Healthcheck.Status}}' rooms)"

# SIGTERM reaches process 1, and a member gets its close frame.
mkfifo "$work/silence"
exec 4<>"$work/silence"
"$wsplice" -v "ws://$at/stays" <&4 2>"$work/stays" &
stays=$!
eventually grep -q connected "$work/stays"
ends rooms TERM 143
wait "$stays" || fail "the member's exit code is $?: $(cat "$work/stays")"
grep -q 1001 "$work/stays" || fail "the member saw: $(cat "$work/stays")"
serve --name interrupted $image
eventually curl -fsS "http://127.0.0.1:$(port interrupted 8080)/healthz"
ends interrupted INT 130

# is_healthy NAME ARGUMENTS...: the health check succeeds, whatever the arguments are.
is_healthy() {
    local name="healthy-$1"
    podman run -d --name "$name" "${options[@]}" $image "${@:2}" >/dev/null 2>"$work/said" || fail "$(cat "$work/said")"
    eventually podman healthcheck run "$name"
    podman rm --force --time 0 "$name" >/dev/null 2>&1
    say "ok: healthy: ${*:2}"
}
options=()
is_healthy port --broadcast ws-l:0.0.0.0:9000
is_healthy server -s 0.0.0.0:1234 mirror:
is_healthy tls --broadcast wss-l:0.0.0.0:8443 --self-signed
is_healthy full --broadcast ws-l:0.0.0.0:9000 --conncap 1 --metrics 9090
is_healthy tunnel tcp-l:0.0.0.0:1234 mirror:
options=(--tmpfs /run)
is_healthy unix --broadcast ws-u:unix-l:/run/rooms.sock
options=(--network host -i -t)
serve --name hub $image
is_healthy client "ws://127.0.0.1:$(port hub 8080)/room"
podman rm --force --time 0 hub >/dev/null 2>&1
# A stopped process answers nobody.
serve --name stopped $image
eventually podman healthcheck run stopped
kill -STOP "$(podman inspect --format '{{.State.Pid}}' stopped)"
if podman healthcheck run stopped 2>/dev/null; then fail "the health check does not notice that nobody answers"; fi
say "ok: the health check notices that nobody answers"
podman rm --force --time 0 stopped >/dev/null 2>&1

# The tool.
same "--version" "$("$wsplice" --version)" "$(run $image --version)"
podman run -d --no-healthcheck --name echo -p 127.0.0.1::1234 $image -s 0.0.0.0:1234 mirror: >/dev/null
echo_at="127.0.0.1:$(port echo 1234)"
eventually curl -s "http://$echo_at/"
same "an echo server" hi "$(echo hi | "$wsplice" -1 "ws://$echo_at/")"
same "a client in a container" hi "$(echo hi | run -i --network host $image "ws://$echo_at/")"
same "a client without standard input" '' "$(run --network host $image "ws://$echo_at/" </dev/null)"
code=0
run --network host $image ws://127.0.0.1:9/ 2>/dev/null </dev/null || code=$?
same "exit codes come out" 3 "$code"
ends echo TERM 143
# Containers reach each other by name, as the services of a compose file do.
podman network create services >/dev/null
podman run -d --no-healthcheck --name server --network services $image -s 0.0.0.0:1234 mirror: >/dev/null 2>"$work/said"
by_name() { [ "$(echo hi | run -i --network services $image -1 ws://server:1234/)" = hi ]; }
eventually by_name
say "ok: a container reaches another by its name"
# An interactive client ends too, while its terminal is open.
podman run -d -t -i --no-healthcheck --name client --network host $image -s 0 >/dev/null 2>&1
eventually test running = "$(podman inspect --format '{{.State.Status}}' client)"
ends client INT 130

# TLS and names. authority NAME SUBJECT makes one, and a certificate of it for names that containers know.
authority() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$work/$1-ca.key" -out "$work/$1-ca.pem" -config <(
        printf '[req]\nstring_mask = nombstr\nprompt = no\ndistinguished_name = name\n[name]\n%s\n' "$2"
    ) 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj /CN=rooms.example -keyout "$work/$1.key" -out "$work/$1.csr" 2>/dev/null
    openssl x509 -req -in "$work/$1.csr" -CA "$work/$1-ca.pem" -CAkey "$work/$1-ca.key" -CAcreateserial -days 2 \
        -extfile <(printf 'subjectAltName=DNS:rooms.example,DNS:localhost') -out "$work/$1.pem" 2>/dev/null
    chmod 644 "$work/$1-ca.pem"
    "$wsplice" -q --stdout-announce-listening-ports --cert "$work/$1.pem" --key "$work/$1.key" wss-l:127.0.0.1:0 mirror: \
        >"$work/$1.port" &
    eventually grep -q port= "$work/$1.port"
}
tls() { sed 's/.*port=//' "$work/$1.port"; }
client() { echo hi | run -i --network host --add-host rooms.example:127.0.0.1 -v "$work/own-ca.pem:/ca.pem:ro" "$@"; }

authority own CN=authority
url="wss://rooms.example:$(tls own)/"
same "localhost resolves, and --cacert is trusted" hi "$(client $image --cacert /ca.pem -1 "wss://localhost:$(tls own)/")"
same "a name of --add-host resolves, and SSL_CERT_FILE is trusted" hi "$(client -e SSL_CERT_FILE=/ca.pem $image -1 "$url")"
same "a mounted bundle takes the place of the image's" hi \
    "$(client -v "$work/own-ca.pem:/etc/ssl/certs/ca-certificates.crt:ro" $image -1 "$url")"

# The test has no key of a public authority. A certificate with the name of a trusted authority fails at its signature; one
# with an unknown name fails before that.
authority forged $'C=US\nO=Internet Security Research Group\nCN=ISRG Root X1'
for trusted in image built-in own; do
    case "$trusted" in
        image) file=/etc/ssl/certs/ca-certificates.crt says='the signature of the server' ;;
        built-in) file=/nothing says='the signature of the server' ;;
        own) file=/ca.pem says='not signed by a trusted CA' ;;
    esac
    code=0
    client -e SSL_CERT_FILE="$file" $image -1 "wss://rooms.example:$(tls forged)/" 2>"$work/said" || code=$?
    same "a forged authority is refused with the $trusted authorities" 4 "$code"
    grep -q "$says" "$work/said" || fail "it says: $(cat "$work/said")"
done

say "everything passed after $SECONDS s"
