# Two stages: one that compiles, one that runs. The image holds the binary, the C libraries that it is linked to, and the
# certificates of the public authorities: no shell, no package manager, nothing that has to be kept up to date by itself.
# Builds for the platform that it is built on, amd64 or arm64: `docker buildx build --platform linux/amd64,linux/arm64`.
# scripts/image checks that this version is the one of rust-toolchain.toml.
FROM docker.io/library/rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# What `/version` names; empty: it names none.
ARG ALC_CONNECTOR_COMMIT=
# The caches outlive the build, so that a second one compiles only what changed; hence the copy out of `target`. One
# folder for each platform: buildx builds both over the same cache. Packed relocations take 0.9 MB less, and are read by
# the loader that is copied beside the binary; a linker that does not know them warns and goes on.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    RUSTFLAGS="-C strip=symbols -C link-arg=-Wl,-z,pack-relative-relocs" cargo build --profile dist --locked -p alc-connector --bin alc-connector --target-dir "target/$(uname -m)" \
    && install -D "target/$(uname -m)/dist/alc-connector" /out/usr/local/bin/alc-connector
# The libraries come with the loader, wherever this platform has them. The certificates are the package's own: the
# machine's bundle may have others beside them. glibc reads its two sources of names here.
RUN ldd /out/usr/local/bin/alc-connector | grep -o '/[^ ]*' | sort -u \
        | xargs cp --dereference --parents --target-directory=/out \
    && mkdir -p /out/etc/ssl/certs \
    && cat /usr/share/ca-certificates/mozilla/*.crt >/out/etc/ssl/certs/ca-certificates.crt \
    && echo 'hosts: files dns' >/out/etc/nsswitch.conf

FROM scratch
COPY --from=build /out /
ARG ALC_CONNECTOR_COMMIT=
ARG ALC_CONNECTOR_VERSION=
LABEL org.opencontainers.image.title="alc-connector" \
    org.opencontainers.image.description="Joins Attio and Acme Lead Checker: leads out, results back" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$ALC_CONNECTOR_VERSION" \
    org.opencontainers.image.revision="$ALC_CONNECTOR_COMMIT"
ENV PATH=/usr/local/bin \
    ALC_CONNECTOR_ENV=production \
    ALC_CONNECTOR__HTTP__BIND=0.0.0.0:8080 \
    ALC_CONNECTOR__MANAGEMENT__BIND=0.0.0.0:9090
# By number: the user has no account, no home and no shell, and owns no file here.
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["alc-connector", "healthcheck"]
ENTRYPOINT ["alc-connector"]
CMD ["serve"]
