package storetest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"

	"github.com/scrapehaul/scrapehaul/archive"
	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// newSystem returns a system whose workers archive into the store.
func newSystem(t *testing.T, store store) *systemtest.System {
	t.Helper()
	settings := map[string]string{
		"HOLD_BEFORE_DELETE": "0", "ARCHIVE_URL": store.url(bucketName), "ARCHIVE_RETENTION": "2160h",
	}
	for name, value := range store.environment {
		settings[name] = value
	}
	s := systemtest.New(t, settings)
	if store.keyVariable != "" {
		s.Secrets = append(s.Secrets, store.environment[store.keyVariable])
	}
	return s
}

// noise returns n records that compress to slightly more than a megabyte each.
func noise(n int) webscrapertest.Records {
	random := rand.NewChaCha8([32]byte{})
	megabyte := make([]byte, 1<<20)
	var lines []string
	for i := range n {
		_, _ = random.Read(megabyte) // never fails
		lines = append(lines, fmt.Sprintf(`{"web-scraper-order":"1614248295-%d","noise":"%s"}`, i+1, base64.StdEncoding.EncodeToString(megabyte)))
	}
	return webscrapertest.JSONLines(lines...)
}

// inOneRequest is the most that a driver uploads in one request.
const inOneRequest = 16 << 20

func keys(t *testing.T, bucket *blob.Bucket) (keys []string) {
	t.Helper()
	for blobs := bucket.List(nil); ; {
		next, err := blobs.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return keys
		}
		require.NoError(t, err)
		keys = append(keys, next.Key)
	}
}

func TestDeletedJobIsImportedAgainFromEachStoreByAnotherWorker(t *testing.T) {
	for _, c := range stores {
		t.Run(c.name, func(t *testing.T) {
			store := c.start(t)
			bucket := store.open(t)
			s := newSystem(t, store)
			worker := s.StartWorker(s.Spool)
			const records = 17
			id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "my-sitemap", Records: noise(records)})
			s.Notify(id)
			require.Equal(t, workflows.Deleted, s.Result(id).Outcome)
			require.True(t, s.Cloud.Deleted(id))
			archived := keys(t, bucket)
			require.Len(t, archived, 1)
			attributes, err := bucket.Attributes(t.Context(), archived[0])
			require.NoError(t, err)
			require.Greater(t, attributes.Size, int64(inOneRequest))
			require.NoError(t, worker.Stop())

			spool := t.TempDir()
			s.StartWorker(spool)
			s.DB.MustExec(`UPDATE scrapehaul.import_records SET data = '{}'`) // for the re-import to fix
			_, err = s.Programs.RunStarter(t.Context(), s.Env, "reimport", strconv.FormatInt(id, 10))
			require.NoError(t, err)
			result := s.Result(id)
			require.Equal(t, workflows.Restored, result.Outcome, result.Reason)
			s.RequireRecords(id, records)
			require.Equal(t, archived, keys(t, bucket), "already archived")
			s.RequireEmptySpool(spool)
		})
	}
}

func TestReconciliationRemovesExpiredFilesFromEachStore(t *testing.T) {
	for _, c := range stores {
		t.Run(c.name, func(t *testing.T) {
			store := c.start(t)
			bucket := store.open(t)
			const content = `{"product":"IdeaTab A3500L"}` + "\n"
			sum := sha256.Sum256([]byte(content))
			put := func(account string, scrapingJobID int64, age time.Duration) {
				require.NoError(t, archive.New(bucket).Put(t.Context(), archive.File{
					Account: account, ScrapingJobID: scrapingJobID, RequestedAt: time.Now().Add(-age), Bytes: int64(len(content)),
					SHA256: hex.EncodeToString(sum[:]),
				}, strings.NewReader(content)))
			}
			put("", 1, 2161*time.Hour)
			put("", 2, 2159*time.Hour)
			put("acme", 3, 2161*time.Hour)
			require.Len(t, keys(t, bucket), 3)

			s := newSystem(t, store)
			s.StartWorker(s.Spool)
			output, err := s.Programs.RunStarter(t.Context(), s.Env, "reconcile")
			require.NoError(t, err)
			require.Contains(t, output, "removed from the archive by ARCHIVE_RETENTION: 2 files\n")
			left := keys(t, bucket)
			require.Len(t, left, 1)
			require.Contains(t, left[0], "scrapingjobs/2/")
		})
	}
}

func TestWorkerReportsAtStartWhatIsWrongWithEachStore(t *testing.T) {
	for _, c := range stores {
		t.Run(c.name, func(t *testing.T) {
			store := c.start(t)
			s := newSystem(t, store)
			refused := func(variable, value string) string {
				_, err := s.Programs.StartWorker(s.Env.With(variable, value), t.TempDir())
				require.ErrorContains(t, err, "worker: opening the archive of ARCHIVE_URL: ")
				require.ErrorContains(t, err, "; its credentials come from ")
				return err.Error()
			}
			require.Regexp(t, `[a-z0-9]+://no-such-bucket does not exist or cannot be listed`, refused("ARCHIVE_URL", store.url("no-such-bucket")))
			if store.keyVariable != "" {
				wrong := base64.StdEncoding.EncodeToString([]byte("another secret"))
				refusal := refused(store.keyVariable, wrong)
				require.Regexp(t, "SignatureDoesNotMatch|AuthorizationFailure", refusal)
				require.NotContains(t, refusal, wrong)
			}
		})
	}
}
