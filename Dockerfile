# A small image: the binary, glibc and the certificates of public authorities; no shell, no package manager, nobody's root.
#
#   docker build -t tidewatch .
#   docker run --rm tidewatch demo
#
# There is no HEALTHCHECK: nothing in here could make a request, and orchestrators ask /livez and /readyz themselves.

FROM rust:1.90-bookworm AS build
WORKDIR /src
COPY . .
# OpenSSL and zlib are compiled in, so that the image needs none. Built layers are kept between builds.
ENV LIBZ_SYS_STATIC=1
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --no-default-features --features ssl-vendored \
    && strip -o /tidewatch target/release/tidewatch

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="tidewatch" \
      org.opencontainers.image.description="Anomaly detection for event streams, built on Kafka" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /tidewatch /usr/local/bin/tidewatch
# The number, so that Kubernetes can see that it is not root.
USER 65532:65532
EXPOSE 9600
ENTRYPOINT ["/usr/local/bin/tidewatch"]
CMD ["run", "--config", "/etc/tidewatch/tidewatch.yaml"]
