#!/usr/bin/env bash
# Makes the packages with packaging/package.sh and tries them: unpacks the archive, installs the .deb in a clean root, starts its service,
# puts a newer one over it and removes it; makes the crate from a clean clone; checks the formula, the flake and the workflows; and
# builds the binary a second time in another folder, which must give the same bytes. Installs what is missing first. --quick leaves out
# the second build, and the packages of other architectures.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh
unset RUST_BACKTRACE

[ "$(id -u)" -eq 0 ] || fail "it needs root: the clean root is made with mounts"
need cargo git python3 unshare
install_debian dpkg curl systemd ruby nix-bin unzip

work="$(mktemp -d "${TMPDIR:-/tmp}/wsplice-packages.XXXXXX")"
cleanup() {
    local status=$?
    mapfile -t running < <(jobs -pr)
    [ "${#running[@]}" -eq 0 ] || kill "${running[@]}" || true
    rm -rf --one-file-system "$work" || true
    exit "$status"
}
trap cleanup EXIT

target="$(uname -m)-unknown-linux-musl"
version="$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)"
export DIST="$work/dist"
quick=no
[ "${1:-}" != --quick ] || quick=yes
if [ "$quick" = yes ]; then packaging/package.sh "$target"; else packaging/package.sh; fi
packaging/package.sh --finish
(cd "$DIST" && sha256sum --quiet --check SHA256SUMS)
packaging/package.sh --notes "v$version" >/dev/null

# The archive.
name="wsplice-$version-$target"
tar -xzf "$DIST/$name.tar.gz" -C "$work"
for file in wsplice wsplice.1 LICENSE README.md CHANGELOG.md completions/wsplice.bash completions/_wsplice completions/wsplice.fish; do
    [ -s "$work/$name/$file" ] || fail "$name.tar.gz has no $file"
done
[ "$("$work/$name/wsplice" literal:works - </dev/null)" = works ] || fail "the binary in the archive does not run"
say "ok: the archive"
if [ "$quick" = no ]; then
    unzip -qt "$DIST/wsplice-$version-x86_64-pc-windows-gnu.zip" || fail "the archive for Windows is damaged"
fi

# The .deb, in a root with the programs of this machine and nothing else: no packages, no users, no configuration.
package="$(realpath "$DIST"/wsplice_*_"$(dpkg --print-architecture)".deb)"
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }
mkdir "$work/newer"
dpkg-deb -R "$package" "$work/newer/tree"
sed -i "s/^Version: .*/Version: 99-1/" "$work/newer/tree/DEBIAN/control"
sed -i 's/8080/8081/' "$work/newer/tree/etc/default/wsplice"
(cd "$work/newer/tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\n' | sort | xargs md5sum >DEBIAN/md5sums)
dpkg-deb --root-owner-group -b "$work/newer/tree" "$work/newer/wsplice.deb" >/dev/null

cat >"$work/in-root.sh" <<'END'
set -euo pipefail
fail() { printf 'in the clean root: %s\n' "$*" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg -i /packages/wsplice.deb >/dev/null || fail "it cannot be installed"
for file in /usr/bin/wsplice /usr/share/man/man1/wsplice.1.gz /usr/share/bash-completion/completions/wsplice \
    /usr/share/zsh/vendor-completions/_wsplice /usr/share/fish/vendor_completions.d/wsplice.fish \
    /usr/share/doc/wsplice/copyright /etc/default/wsplice; do
    [ -s "$file" ] || fail "it has no $file"
done
unit="$(dpkg -L wsplice | grep '/wsplice\.service$')" || fail "it has no unit"
# The service, as systemd starts it.
. /etc/default/wsplice
read -ra command < <(sed -n "s|^ExecStart=||; s|\$WSPLICE_OPTIONS|$WSPLICE_OPTIONS|p" "$unit")
"${command[@]}" 2>/tmp/log &
server=$!
for _ in $(seq 100); do curl -fs http://127.0.0.1:8080/healthz >/dev/null && break; sleep 0.1; done
curl -fsS http://127.0.0.1:8080/healthz >/dev/null || fail "the service does not start: $(cat /tmp/log)"
kill -TERM "$server"
wait "$server" && code=0 || code=$?
[ "$code" -eq 143 ] || fail "the service ends with $code"
# A newer package with another default keeps what the operator has set.
echo 'WSPLICE_OPTIONS="--broadcast ws-l:0.0.0.0:9000"' >/etc/default/wsplice
dpkg --force-confdef --force-confold -i /packages/newer.deb >/dev/null 2>&1 || fail "a newer one cannot be installed"
grep -q 9000 /etc/default/wsplice || fail "the configuration was lost"
dpkg -r wsplice >/dev/null 2>&1 || fail "it cannot be removed"
[ ! -e /usr/bin/wsplice ] || fail "the binary is still there"
[ -e /etc/default/wsplice ] || fail "removing took the configuration"
dpkg -P wsplice >/dev/null 2>&1 || fail "it cannot be purged"
[ ! -e /etc/default/wsplice ] || fail "the configuration is still there"
END

mkdir -p "$work/root" "$work/packages"
cp "$package" "$work/packages/wsplice.deb"
cp "$work/newer/wsplice.deb" "$work/packages/newer.deb"
cp "$work/in-root.sh" "$work/packages/"
# The mounts end with the namespace.
unshare --mount --propagation private bash -euo pipefail -c '
    root="$1/root"
    mount -t tmpfs clean "$root"
    mkdir -p "$root"/{usr,etc,tmp,dev,proc,packages,var/lib/dpkg/{info,updates,triggers},var/lib/systemd,var/log,run}
    ln -s usr/bin usr/lib usr/lib64 usr/sbin "$root/"
    touch "$root/var/lib/dpkg/status"
    mkdir "$1/layer"
    mount -t tmpfs layers "$1/layer"
    mkdir "$1/layer/upper" "$1/layer/work"
    mount -t overlay overlay -o "lowerdir=/usr,upperdir=$1/layer/upper,workdir=$1/layer/work" "$root/usr"
    mount --rbind /dev "$root/dev"
    mount --rbind /proc "$root/proc"
    mount --bind "$1/packages" "$root/packages"
    cp -a /etc/alternatives /etc/ld.so.cache "$root/etc/"
    exec chroot "$root" bash /packages/in-root.sh
' in-root "$work" || fail "the .deb"
say "ok: the .deb is installed, serves, keeps the configuration, and is removed"

# The units.
dpkg-deb -x "$package" "$work/unpacked"
unit="$(find "$work/unpacked" -name wsplice.service)"
sed "s|/usr/bin/wsplice|$work/unpacked/usr/bin/wsplice|; s|/etc/default|$work/unpacked/etc/default|" "$unit" >"$work/wsplice.service"
said="$(systemd-analyze verify --man=no "$work/wsplice.service" 2>&1 | grep wsplice || true)"
[ -z "$said" ] || fail "systemd-analyze: $said"
say "ok: the unit"

# The crate, from a clean clone.
git clone --quiet . "$work/clone"
(cd "$work/clone" && cargo package --quiet --locked --target-dir "$work/crate" --no-verify && cargo package --list | grep -qx src/main.rs)
say "ok: the crate"

# The formula, with made-up sums for what is not built here.
for other in aarch64-unknown-linux-musl aarch64-apple-darwin x86_64-apple-darwin; do
    archive="$DIST/wsplice-$version-$other.tar.gz"
    [ -e "$archive" ] || echo "$other" >"$archive"
done
packaging/package.sh --finish
ruby -c "$DIST/wsplice.rb" >/dev/null || fail "the formula"
! grep -n @ "$DIST/wsplice.rb" || fail "the formula has gaps"
say "ok: the formula"
nix-instantiate --parse flake.nix >/dev/null || fail "the flake"
say "ok: the flake can be parsed"
if command -v actionlint >/dev/null; then
    actionlint
    say "ok: the workflows"
fi

if [ "$quick" = no ]; then
    first="$(sha256sum <"$DIST/$name.tar.gz")"
    (
        cd "$work/clone"
        unset CARGO_TARGET_DIR
        PATH="$PATH:$peers/zig/bin" DIST="$work/again" packaging/package.sh "$target"
    )
    same "the archive of a second build, in another folder" "$first" "$(sha256sum <"$work/again/$name.tar.gz")"
    say "ok: two builds, one hash: $first"
fi
say "everything passed after $SECONDS s"
