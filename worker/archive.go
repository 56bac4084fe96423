package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file://

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/internal/program"
)

// archiveFlags are the settings of the archive.
type archiveFlags struct {
	ArchiveURL       string `env:"ARCHIVE_URL" placeholder:"URL" help:"Archive for the downloaded files, compressed: file:///DIR, or, in builds with their tag, s3://BUCKET?region=REGION, gs://BUCKET, azblob://CONTAINER. Off unless set."`
	ArchiveRetention string `env:"ARCHIVE_RETENTION" placeholder:"DURATION" help:"How long a file stays in the archive, like 2160h. Forever unless set."`
}

// stores has, by URL scheme, the build tag that a store needs (see archive_s3.go) and the
// source of its credentials.
var stores = map[string]struct{ tag, credentials string }{
	"s3":     {"s3", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role"},
	"gs":     {"gcs", "GOOGLE_APPLICATION_CREDENTIALS or the service account of the machine"},
	"azblob": {"azure", "AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or an identity"},
}

const minArchiveRetention = time.Hour

// parse returns the archive's URL, nil for no archive, and its retention. It reports
// problems to s without the URL, which may contain credentials.
func (f *archiveFlags) parse(s *program.Settings) (address *url.URL, retention time.Duration) {
	retention = optionalDuration(s, "ARCHIVE_RETENTION", f.ArchiveRetention, minArchiveRetention)
	if f.ArchiveURL == "" {
		return nil, retention
	}
	address, err := url.Parse(f.ArchiveURL)
	if err != nil || address.Scheme == "" {
		s.Problem("ARCHIVE_URL is not a URL: want file:///DIR, s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER")
		return nil, retention
	}
	store, known := stores[address.Scheme]
	switch {
	case blob.DefaultURLMux().ValidBucketScheme(address.Scheme):
	case known:
		s.Problem("ARCHIVE_URL begins with %s://, which this worker was built without: build it with \"go build -tags %[2]s -o bin/scrapehaul-worker ./worker\", the image with TAGS=%[2]s", address.Scheme, store.tag)
	default:
		s.Problem("ARCHIVE_URL begins with %s://: want file, s3, gs or azblob", address.Scheme)
	}
	return address, retention
}

// openArchive opens the bucket and checks that it exists. Its errors have neither the URL's
// credentials nor its query.
func openArchive(ctx context.Context, address *url.URL) (*blob.Bucket, error) {
	failed := func(err error) error {
		text := archive.Redact(strings.ReplaceAll(err.Error(), address.String(), address.Redacted()))
		if store, has := stores[address.Scheme]; has {
			text += "; its credentials come from " + store.credentials
		}
		return fmt.Errorf("opening the archive of ARCHIVE_URL: %s", text)
	}
	bucket, err := blob.OpenBucket(ctx, withDefaults(*address).String())
	if err != nil {
		return nil, failed(err)
	}
	there, err := bucket.IsAccessible(ctx)
	if err == nil && !there {
		err = fmt.Errorf("%s://%s does not exist or cannot be listed; the worker does not create it", address.Scheme, address.Host)
	}
	if err != nil {
		return nil, errors.Join(failed(err), bucket.Close())
	}
	return bucket, nil
}

// folderDefaults create a missing folder, private to this user, and write temporary files
// there: another folder may be on another disk. The archive needs no metadata.
var folderDefaults = map[string]string{"create_dir": "true", "dir_file_mode": "0700", "no_tmp_dir": "true", "metadata": "skip"}

// s3Defaults are for S3-compatible stores: many refuse the driver's checksums, or return
// different ones.
var s3Defaults = map[string]string{"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}

// withDefaults adds the defaults missing from the URL's query.
func withDefaults(address url.URL) *url.URL {
	query := address.Query()
	var defaults map[string]string
	switch {
	case address.Scheme == "file":
		defaults = folderDefaults
	case address.Scheme == "s3" && query.Has("endpoint"):
		defaults = s3Defaults
	default:
		return &address
	}
	for name, value := range defaults {
		if !query.Has(name) {
			query.Set(name, value)
		}
	}
	address.RawQuery = query.Encode()
	return &address
}
