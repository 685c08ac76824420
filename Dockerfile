# Two stages: one that compiles, one that runs. Nothing of the first is in the image but the binary.
# scripts/image checks that this version is the one of rust-toolchain.toml.
FROM docker.io/library/rust:1.95.0-bookworm AS build
WORKDIR /src
COPY . .
# What `/version` names; empty: it names none.
ARG ALC_CONNECTOR_COMMIT=
# The caches outlive the build, so that a second one compiles only what changed; hence the copy out of `target`.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile dist --locked -p alc-connector --bin alc-connector \
    && install -D target/dist/alc-connector /out/alc-connector

FROM docker.io/library/debian:bookworm-slim
# The HTTPS client verifies against the system's certificates, and doesn't start without them.
RUN dpkg -s ca-certificates >/dev/null 2>&1 \
    || (apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*)
COPY --from=build /out/alc-connector /usr/local/bin/alc-connector
ENV ALC_CONNECTOR_ENV=production \
    ALC_CONNECTOR__HTTP__BIND=0.0.0.0:8080 \
    ALC_CONNECTOR__MANAGEMENT__BIND=0.0.0.0:9090
# By number: the user has no account, no home and no shell, and owns no file here.
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["alc-connector", "healthcheck"]
ENTRYPOINT ["alc-connector"]
CMD ["serve"]
