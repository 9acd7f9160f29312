# leasehold in an image of its own: one static binary and the CA roots, nothing else.
#
#   docker build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" -t leasehold .
#
# deploy/release/README.md: how a release is built twice and compared, described (SBOM) and signed.

# The base of both stages, and the digest that pins it, as @sha256:…. There is no default: a digest is worth
# something only to whoever has looked where it comes from.
ARG BASE=debian:bookworm-slim
ARG BASE_DIGEST=

FROM ${BASE}${BASE_DIGEST} AS build

# What to build for: amd64 or arm64, whatever this machine is.
ARG TARGETARCH=amd64
# The compiler, in the release of Debian that the base is of. Pin them by the version: rustc-web=1.96.0+…
ARG RUSTC_PACKAGE=rustc-web
ARG CARGO_PACKAGE=cargo-web
ARG STD_PACKAGE=libstd-rust-web-dev

COPY deploy/release/toolchain /toolchain
RUN /toolchain install "$TARGETARCH" "$RUSTC_PACKAGE" "$CARGO_PACKAGE" "$STD_PACKAGE"

# The features of the binary, as in Cargo.toml: one a provider (`vault,aws`), `keystore`, `generate-key`, `explain`,
# `completions`, `default`, or `all`.
ARG FEATURES=default
# 0.7.7: the list of crates becomes a section of the binary, where scanners look for it.
ARG CARGO_AUDITABLE=
# What the build calls now: the same source gives the same bytes.
ARG SOURCE_DATE_EPOCH=0

WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY providers providers
COPY tests/conformance tests/conformance
COPY tests/harness tests/harness
COPY tests/standins tests/standins
COPY tests/cluster/application tests/cluster/application
COPY deploy/release deploy/release
RUN /toolchain build "$TARGETARCH" "$FEATURES" "$CARGO_AUDITABLE" /leasehold

# docker build --target install: for the exec wrapper in a pod, whose init container copies the binary into a
# volume (`leasehold install DIR`). There anybody may read it: it holds no secret. Where it is run, in the
# application's container, the process closes itself to others once it has started.
FROM scratch AS install
COPY --from=build --chmod=0755 /leasehold /leasehold
ENV PATH=/ RUST_BACKTRACE=0
USER 65532:65532
ENTRYPOINT ["/leasehold"]
CMD ["install", "/leasehold-binary"]

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="leasehold" \
      org.opencontainers.image.description="Short-lived secrets beside your application: fetched, renewed, rotated, announced, revoked" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build --chmod=0444 /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
# Of root and not readable: so the kernel lets nobody of our uid look into the process, from its first
# instruction on. Nothing is writable here, and any uid may run it.
COPY --from=build --chmod=0111 /leasehold /leasehold

# PATH: for `kubectl exec POD -c leasehold -- leasehold status`.
# A backtrace costs 30 MB while it is made, and a stripped binary has none to show.
ENV PATH=/ RUST_BACKTRACE=0
USER 65532:65532
ENTRYPOINT ["/leasehold"]
CMD ["run"]
