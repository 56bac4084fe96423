# One image for both processes: /worker and /starter.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# The stores that ARCHIVE_URL may name, beside folders: s3, gcs, azure, with commas between.
ARG TAGS=
RUN CGO_ENABLED=0 go build -tags "$TAGS" -trimpath -ldflags="-s -w" -o /out/ ./worker ./starter \
	&& mkdir -p /out/var/spool/scrapehaul

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/worker /out/starter /
# A volume mounted here begins with this owner: the account nonroot.
COPY --from=build --chown=65532:65532 /out/var/spool/scrapehaul /var/spool/scrapehaul
CMD ["/worker", "run"]
