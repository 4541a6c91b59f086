#!/usr/bin/env bash
# Builds the release binary that needs nothing of the machine it runs on, and checks that it is that, works and is small. An argument
# names a binary to check instead, such as the one of the container image (tests/container.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/install.sh

# 10 MB.
limit=10000000

binary="${1:-}"
if [ -z "$binary" ]; then
    need cargo
    install_debian gcc libc6-dev
    target=x86_64-unknown-linux-gnu
    # Relocations take 0.3 MB less in this form, which the dynamic linkers of older systems do not know; a static binary needs none.
    # Functions that are the same are there once (Rust links with lld for this target).
    RUSTFLAGS='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,--icf=all' cargo build --release --locked --target "$target"
    binary="${CARGO_TARGET_DIR:-target}/$target/release/wsplice"
fi

# ldd fails for a static executable, and prints these words for a static one that is position-independent.
if dynamic="$(ldd "$binary" 2>&1)" && [[ "$dynamic" != *'statically linked'* ]]; then
    fail "it needs libraries: $dynamic"
fi

size="$(stat -c %s "$binary")"
if [ "$size" -gt "$limit" ]; then
    fail "$size bytes, more than $limit"
fi

# An empty root has no libraries, no certificates and no /etc; names other than localhost need the machine's resolver.
"$binary" --version >/dev/null
answer="$("$binary" literal:works - </dev/null)"
if [ "$answer" != works ]; then
    fail "it runs but prints '$answer'"
fi
say "$size bytes, at most $limit; static; runs"
