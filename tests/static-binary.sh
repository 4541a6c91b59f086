#!/usr/bin/env bash
# Builds the release binary that needs nothing of the machine it runs on, and checks that it is that, works and is small.
set -euo pipefail
cd "$(dirname "$0")/.."

limit=6000000
target=x86_64-unknown-linux-gnu

RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target"
binary="${CARGO_TARGET_DIR:-target}/$target/release/wsplice"

# ldd fails for a static executable of the old kind and has these words for one that can be placed anywhere.
if dynamic="$(ldd "$binary" 2>&1)" && [[ "$dynamic" != *'statically linked'* ]]; then
    printf 'static-binary: it wants libraries:\n%s\n' "$dynamic" >&2
    exit 1
fi

size="$(stat -c %s "$binary")"
if [ "$size" -gt "$limit" ]; then
    echo "static-binary: $size bytes, more than $limit" >&2
    exit 1
fi

# An empty root has no libraries, no certificates and no /etc; names other than localhost need the machine's resolver.
"$binary" --version >/dev/null
answer="$("$binary" literal:works - </dev/null)"
if [ "$answer" != works ]; then
    echo "static-binary: it runs but says '$answer'" >&2
    exit 1
fi
echo "static-binary: $size bytes, at most $limit; static; runs"
