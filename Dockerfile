# One image for both processes, /worker and /starter: docker build .
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# Stores for ARCHIVE_URL in addition to folders: s3, gcs, azure, separated by commas.
ARG TAGS=
# Shown by --version, as .git is not in the build context.
ARG VERSION=
ARG COMMIT=
ARG DATE=
RUN program=github.com/scrapehaul/scrapehaul/internal/program \
	&& CGO_ENABLED=0 go build -tags "$TAGS" -trimpath \
		-ldflags="-s -w -X $program.version=$VERSION -X $program.commit=$COMMIT -X $program.date=$DATE" -o /out/ ./worker ./starter \
	&& mkdir -p /out/var/spool/scrapehaul /out/var/lib/scrapehaul/archive \
	&& .ci/licenses /out/licenses

# The fake Web Scraper Cloud, only for the demo: docker build --target cloud .
FROM build AS build-cloud
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /out/ ./internal/testbed/demo

FROM gcr.io/distroless/static-debian12:nonroot AS cloud
COPY --from=build-cloud /out/demo /
CMD ["/demo", "cloud", "--help"]

# It has certificates and time zones, and no shell.
FROM gcr.io/distroless/static-debian12:nonroot AS scrapehaul
LABEL org.opencontainers.image.source=https://github.com/scrapehaul/scrapehaul org.opencontainers.image.licenses=MIT
COPY --from=build /out/worker /out/starter /src/LICENSE /
COPY --from=build /out/licenses /licenses
# A new volume mounted here gets this owner: the user nonroot.
COPY --from=build --chown=65532:65532 /out/var/spool/scrapehaul /var/spool/scrapehaul
COPY --from=build --chown=65532:65532 /out/var/lib/scrapehaul/archive /var/lib/scrapehaul/archive
# The worker serves its health at the starter's address, so that one check of /readyz works
# for both.
ENV HEALTH_ADDRESS=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s CMD ["/worker", "healthcheck"]
CMD ["/worker", "run"]
