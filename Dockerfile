# Room server: docker run -d -p 8080:8080 IMAGE
# Client:      docker run --rm -it IMAGE wss://host/path
ARG RUST_IMAGE=rust:1.95-slim-bookworm
# The machine that builds compiles for the others: docker buildx build --platform linux/amd64,linux/arm64 .
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
ARG TARGETARCH
WORKDIR /src
COPY Cargo.toml Cargo.lock LICENSE ./
COPY src ./src
# Static, because the final image has no C library. Without --target the flag would also apply to build scripts and procedural
# macros, which cannot be static.
RUN host="$(rustc -vV | sed -n 's/^host: //p')" && \
    case "${TARGETARCH:-}" in \
        amd64) target=x86_64-unknown-linux-gnu ;; \
        arm64) target=aarch64-unknown-linux-gnu ;; \
        *) target="$host" ;; \
    esac && \
    if [ "$target" != "$host" ]; then \
        compiler="${target%%-*}-linux-gnu-gcc" && \
        { command -v "$compiler" || { apt-get update && apt-get install -y --no-install-recommends \
            "gcc-$(echo "${target%%-*}" | tr _ -)-linux-gnu" "libc6-dev-$TARGETARCH-cross"; }; } && \
        { [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || rustup target add "$target"; } && \
        variable="$(echo "$target" | tr a-z- A-Z_)" && \
        export "CARGO_TARGET_${variable}_LINKER=$compiler" "CC_$(echo "$target" | tr - _)=$compiler"; \
    fi && \
    flags='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs' && \
    if [ "$target" = x86_64-unknown-linux-gnu ]; then flags="$flags -C link-arg=-Wl,--icf=all"; fi && \
    RUSTFLAGS="$flags" cargo build --release --locked --target "$target" && \
    install -D "target/$target/release/wsplice" /out/usr/local/bin/wsplice && \
    install -D -m 644 LICENSE /out/usr/share/licenses/wsplice/LICENSE

FROM scratch
LABEL org.opencontainers.image.title="wsplice" \
      org.opencontainers.image.description="WebSocket room server, and a command-line tool that connects any two endpoints" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/ /
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# A number, because the image has no /etc/passwd, and so that orchestrators can verify that it is not root.
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s CMD ["/usr/local/bin/wsplice", "--healthcheck"]
ENTRYPOINT ["/usr/local/bin/wsplice"]
CMD ["--broadcast", "ws-l:0.0.0.0:8080"]
