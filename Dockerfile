# One image for both processes, /worker and /starter: docker build .
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The stores that ARCHIVE_URL may name, beside folders: s3, gcs, azure, with commas between.
ARG TAGS=
# What --version says: Git's files are not here.
ARG VERSION=
ARG COMMIT=
ARG DATE=
RUN program=github.com/scrapehaul/scrapehaul/internal/program \
	&& CGO_ENABLED=0 go build -tags "$TAGS" -trimpath \
		-ldflags="-s -w -X $program.version=$VERSION -X $program.commit=$COMMIT -X $program.date=$DATE" -o /out/ ./worker ./starter \
	&& mkdir -p /out/var/spool/scrapehaul /out/var/lib/scrapehaul/archive \
	&& .ci/licenses /out/licenses

# The stand-in of Web Scraper Cloud, for the demo only: docker build --target cloud .
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
# A volume mounted here begins with this owner: the account nonroot.
COPY --from=build --chown=65532:65532 /out/var/spool/scrapehaul /var/spool/scrapehaul
COPY --from=build --chown=65532:65532 /out/var/lib/scrapehaul/archive /var/lib/scrapehaul/archive
# The worker's health is where the starter has its own, so that one check does
# for both: it asks /readyz there.
ENV HEALTH_ADDRESS=:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s CMD ["/worker", "healthcheck"]
CMD ["/worker", "run"]
