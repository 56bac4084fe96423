package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
)

// archiveSettings sets up a worker that fails before it connects to Temporal.
func archiveSettings(t *testing.T, databaseURL, archiveURL, retention string) {
	t.Helper()
	programtest.SetEnvironment(t, map[string]string{
		"WEBSCRAPER_API_TOKEN": apiToken, "DATABASE_URL": databaseURL, "SPOOL_DIR": t.TempDir(),
		"TEMPORAL_ADDRESS": programtest.ClosedPort(t), "ARCHIVE_URL": archiveURL, "ARCHIVE_RETENTION": retention,
	})
}

func TestInvalidArchiveSettingIsNamedWithoutTheURL(t *testing.T) {
	for _, c := range []struct{ address, retention, want string }{
		{"ftp://user:" + password + "@host/archive", "", "ARCHIVE_URL begins with ftp://: want file, s3, gs or azblob"},
		{"/var/archive?key=" + password, "", "ARCHIVE_URL is not a URL: want file:///DIR"},
		{"s3://" + password + "@bucket:port/", "", "ARCHIVE_URL is not a URL: want file:///DIR"},
		{"file:///var/archive", "30d", `ARCHIVE_RETENTION is "30d": want a duration of at least 1h0m0s`},
		{"file:///var/archive", "1m", `ARCHIVE_RETENTION is "1m": want a duration of at least 1h0m0s`},
	} {
		t.Run(c.want, func(t *testing.T) {
			archiveSettings(t, "postgres://importer@db/scrapes?sslmode=disable", c.address, c.retention)
			code, _, problems := runWorker("run")
			require.Equal(t, program.ExitSettings, code)
			programtest.RequireProblems(t, "worker", problems, c.want)
			require.NotContains(t, problems, password)
		})
	}
}

func TestStoreMissingFromTheBuildIsNamedWithItsTag(t *testing.T) {
	for scheme, store := range stores {
		tag := store.tag
		t.Run(scheme, func(t *testing.T) {
			if blob.DefaultURLMux().ValidBucketScheme(scheme) {
				return // built with it
			}
			archiveSettings(t, "postgres://importer@db/scrapes?sslmode=disable", scheme+"://bucket?token="+password, "")
			code, _, problems := runWorker("run")
			require.Equal(t, program.ExitSettings, code)
			programtest.RequireProblems(t, "worker", problems,
				"ARCHIVE_URL begins with "+scheme+"://, which this worker was built without: build it with \"go build -tags "+tag+" -o bin/scrapehaul-worker ./worker\", the image with TAGS="+tag)
			require.NotContains(t, problems, password)
		})
	}
}

func TestUnusableArchiveIsNamedWithoutSecrets(t *testing.T) {
	database := postgrestest.NewDatabase(t)
	folder := filepath.Join(t.TempDir(), "a file")
	require.NoError(t, os.WriteFile(folder, nil, 0o600))
	for address, want := range map[string]string{
		fileURL(folder): "is not a directory",
		fileURL(t.TempDir()) + "?secret_key_path=" + password: "must supply both base_url and secret_key_path",
		fileURL(t.TempDir()) + "?unknown=" + password:         `invalid query parameter "unknown"`,
	} {
		archiveSettings(t, database, address, "")
		code, _, problems := runWorker("run")
		require.Equal(t, program.ExitFailed, code)
		require.Contains(t, problems, "worker: opening the archive of ARCHIVE_URL: ")
		require.Contains(t, problems, want)
		require.NotContains(t, problems, password)
	}
}

func TestArchiveFolderIsPrivate(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	address, err := url.Parse(fileURL(folder))
	require.NoError(t, err)
	bucket, err := openArchive(t.Context(), address)
	require.NoError(t, err)
	require.NoError(t, bucket.WriteAll(t.Context(), "scrapingjobs/1/x", []byte("x"), nil))
	require.NoError(t, bucket.Close())
	info, err := os.Stat(folder)
	require.NoError(t, err)
	require.Equal(t, "drwx------", info.Mode().String())
	files, err := os.ReadDir(filepath.Join(folder, "scrapingjobs", "1"))
	require.NoError(t, err)
	require.Len(t, files, 1, "no metadata file")
}

func TestOnlyAmazonS3GetsChecksums(t *testing.T) {
	for given, want := range map[string]string{
		"s3://bucket?region=eu-central-1": "s3://bucket?region=eu-central-1",
		"s3://bucket?endpoint=https://store.example": "s3://bucket?endpoint=https%3A%2F%2Fstore.example" +
			"&request_checksum_calculation=when_required&response_checksum_validation=when_required",
		"s3://bucket?endpoint=https://store.example&request_checksum_calculation=when_supported": "s3://bucket?endpoint=https%3A%2F%2Fstore.example" +
			"&request_checksum_calculation=when_supported&response_checksum_validation=when_required",
		"gs://bucket?access_id=a;b": "gs://bucket?access_id=a;b",
	} {
		address, err := url.Parse(given)
		require.NoError(t, err)
		require.Equal(t, want, withDefaults(*address).String())
	}
}

func fileURL(path string) string {
	slashes := filepath.ToSlash(path)
	if !strings.HasPrefix(slashes, "/") {
		slashes = "/" + slashes
	}
	return (&url.URL{Scheme: "file", Path: slashes}).String()
}
