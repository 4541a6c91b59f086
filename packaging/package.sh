#!/usr/bin/env bash
# Makes the packages of a release in dist/:
#
#   packaging/package.sh [TARGET...]   the archives of these targets, for Linux also a .deb; without arguments all that can be built here
#   packaging/package.sh --finish      SHA256SUMS; the Homebrew formula, if all archives are there and $REPOSITORY_URL says where from
#   packaging/package.sh --notes TAG   prints what CHANGELOG.md says about the version; fails if TAG is not the version of Cargo.toml
#
# Two runs for the same commit give the same bytes. On Linux zig compiles and links; macOS needs its own tools. Installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh

version="$(awk -F '"' '/^version = / { print $2; exit }' Cargo.toml)"
dist="${DIST:-dist}"
built="${CARGO_TARGET_DIR:-target}"
mkdir -p "$dist"

linux=(x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
windows=(x86_64-pc-windows-gnu)
macos=(x86_64-apple-darwin aarch64-apple-darwin)

# Times in the packages are that of the commit, and paths of this machine are not in the binaries.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}"
export SOURCE_DATE_EPOCH
crates="${CARGO_HOME:-$HOME/.cargo}"
flags="--remap-path-prefix=$PWD=/wsplice --remap-path-prefix=$crates=/cargo --remap-path-prefix=$(rustc --print sysroot)=/rust"

build() {
    case "$1" in
        *-apple-darwin) env RUSTFLAGS="$flags" cargo build --release --locked --target "$1" ;;
        *) env RUSTFLAGS="$flags" cargo zigbuild --release --locked --target "$1" ;;
    esac
}

# FOLDER ARCHIVE: packs it in a fixed order, with one time and no names of users.
pack() {
    python3 - "$1" "$2" <<'END'
import gzip, os, sys, tarfile, time, zipfile

folder, archive = sys.argv[1:]
epoch = int(os.environ["SOURCE_DATE_EPOCH"])
parent = os.path.dirname(folder)
files = sorted(os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)
if archive.endswith(".zip"):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            entry = zipfile.ZipInfo(os.path.relpath(file, parent), time.gmtime(epoch)[:6])
            entry.external_attr = os.stat(file).st_mode << 16
            packed.writestr(entry, open(file, "rb").read(), zipfile.ZIP_DEFLATED)
else:
    with open(archive, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, epoch) as zipped, tarfile.open(fileobj=zipped, mode="w") as packed:
        for file in files:
            entry = packed.gettarinfo(file, os.path.relpath(file, parent))
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = epoch, 0, 0, "", ""
            packed.addfile(entry, open(file, "rb"))
END
}

archive() {
    local target="$1" name="wsplice-$version-$1" folder binary=wsplice suffix=tar.gz
    case "$target" in *-windows-*) binary=wsplice.exe suffix=zip ;; esac
    folder="$(mktemp -d)"
    mkdir -p "$folder/$name/completions"
    install -m 755 "$built/$target/release/$binary" "$folder/$name/"
    install -m 644 man/wsplice.1 LICENSE README.md CHANGELOG.md "$folder/$name/"
    install -m 644 completions/* "$folder/$name/completions/"
    pack "$folder/$name" "$dist/$name.$suffix"
    rm -r "$folder"
    say "made $dist/$name.$suffix"
}

debian() {
    cargo deb --no-build --no-strip --locked --target "$1" --output "$dist" >/dev/null
    say "made a .deb for $1"
}

finish() {
    local formula target sum
    (cd "$dist" && find . -maxdepth 1 -type f ! -name SHA256SUMS ! -name wsplice.rb -printf '%f\n' | sort | xargs sha256sum >SHA256SUMS)
    say "made $dist/SHA256SUMS"
    [ -n "${REPOSITORY_URL:-}" ] || { say "no formula: REPOSITORY_URL is not set" && return; }
    formula="$(sed "s|@VERSION@|$version|g; s|@URL@|$REPOSITORY_URL|g" packaging/wsplice.rb.in)"
    for target in "${linux[@]}" "${macos[@]}"; do
        sum="$(awk -v name="wsplice-$version-$target.tar.gz" '$2 == name { print $1 }' "$dist/SHA256SUMS")"
        [ -n "$sum" ] || { say "no formula: there is no archive for $target" && return; }
        formula="${formula//@$target@/$sum}"
    done
    printf '%s\n' "$formula" >"$dist/wsplice.rb"
    say "made $dist/wsplice.rb"
}

notes() {
    [ "$1" = "v$version" ] || fail "the tag is $1, and the version in Cargo.toml is $version"
    local text
    text="$(awk -v heading="## [$version]" 'index($0, "## [") == 1 { shows = index($0, heading) == 1; next } shows' CHANGELOG.md)"
    [ -n "$text" ] || fail "CHANGELOG.md has no entry for $version"
    printf '%s\n' "$text"
}

case "${1:-}" in
    --finish)
        finish
        exit
        ;;
    --notes)
        notes "${2:-}"
        exit
        ;;
    -*) fail "usage: packaging/package.sh [TARGET...] | --finish | --notes TAG" ;;
esac

need cargo rustc git python3
targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
    case "$(uname -s)" in
        Darwin) targets=("${macos[@]}") ;;
        *) targets=("${linux[@]}" "${windows[@]}") ;;
    esac
fi
install_targets "${targets[@]}"
[ "$(uname -s)" = Darwin ] || install_zig
for target in "${targets[@]}"; do
    say "building for $target"
    build "$target"
    archive "$target"
    case "$target" in
        *-linux-*)
            install_cargo deb
            debian "$target"
            ;;
    esac
done
