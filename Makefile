# What one types most. CI runs .ci/run: all of it, and in its order.
.PHONY: demo test test-short lint bench release-snapshot

demo:
	go run ./demo

test:
	go test ./...

test-short:
	go test -short ./...

lint:
	.ci/lint

bench:
	go run ./bench

# What a release would be, in dist/. Needs cyclonedx-gomod on PATH, see .github/workflows/release.yml.
release-snapshot:
	go run github.com/goreleaser/goreleaser/v2@v2.15.1 check
	go run github.com/goreleaser/goreleaser/v2@v2.15.1 release --snapshot --clean
