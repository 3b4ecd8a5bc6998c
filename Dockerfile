# The images of echolab: `server` (our engines) and `client` (the lab, which is the load generator as well: `lab client`).
#
#   docker build --target server -t echolab-server .
#   docker build --target client -t echolab-client .
#
# Dependencies are built in a layer of their own, from the manifests alone: touching a source file does not rebuild
# them. The base images are arguments for those who mirror them.
ARG RUST_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

# Everything but manifests and the roots of programs and libraries is dropped, and those are emptied; a test
# that a manifest names gets an empty file too. Modes are made the same for all. What is left changes only when
# dependencies or targets do, and the next stage is cached by its content.
FROM ${RUST_IMAGE} AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock \
        ! -path '*/src/main.rs' ! -path '*/src/lib.rs' ! -path '*/src/bin/*.rs' ! -path '*/build.rs' -delete \
    && for manifest in */Cargo.toml; do \
         sed -n '/^\[\[test\]\]/,/^$/s/^name = "\(.*\)"$/\1/p' "$manifest" | while read -r name; do \
           mkdir -p "$(dirname "$manifest")/tests" && touch "$(dirname "$manifest")/tests/$name.rs"; \
         done; \
       done \
    && find . -name '*.rs' -exec sh -c 'for file; do echo "fn main() { }" >"$file"; done' _ {} + \
    && find . -type d -empty -delete \
    && chmod -R u=rwX,go=rX .

FROM ${RUST_IMAGE} AS dependencies
# The allocator is built from C with make, which the slim image lacks.
RUN command -v make >/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*)
WORKDIR /src
COPY --from=manifests /src .
# The lab depends on all that the others do.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo build --release --locked -p lab --bins

# The sources are touched, because they are older than what was built from their empty stand-ins.
FROM dependencies AS build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    find . -name '*.rs' -not -path './target/*' -exec touch {} + \
    && cargo build --release --locked -p server -p lab --bins \
    && mkdir /out \
    && for name in server lab; do \
         objcopy --compress-debug-sections=zlib "target/release/$name" "/out/$name" || exit 1; \
       done

# No shell, no package manager, not root. Compose adds a read-only root and drops all capabilities.
FROM ${RUNTIME_IMAGE} AS server
COPY --from=build /out/server /usr/local/bin/server
ENV LISTEN=0.0.0.0:8888 METRICS=0.0.0.0:9100
EXPOSE 8888 9100
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=20s --timeout=5s CMD ["/usr/local/bin/server", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/server"]

FROM ${RUNTIME_IMAGE} AS client
COPY --from=build /out/lab /usr/local/bin/lab
USER 65532:65532
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/lab", "client"]
