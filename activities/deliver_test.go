package activities_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/sink"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

const (
	sitemapName   = "prices"
	webhookSecret = "whsec_bm90aGluZyB0aGF0IGFueWJvZHkgd291bGQgZ3Vlc3M="
)

// receiver is a webhook whose responses can be changed.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	answer   http.HandlerFunc // called after the request was stored; nil returns 204
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := new(receiver)
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	r.mu.Lock()
	r.requests, r.bodies = append(r.requests, request), append(r.bodies, string(body))
	answer := r.answer
	r.mu.Unlock()
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, request)
}

func (r *receiver) answers(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// imports returns the imports whose publications were received, acknowledged or not.
func (r *receiver) imports(t *testing.T) (ids []int64) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, body := range r.bodies {
		var event struct{ Data sink.Publication }
		require.NoError(t, json.Unmarshal([]byte(body), &event))
		ids = append(ids, event.Data.ImportID)
	}
	return ids
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// newDelivery returns a world with a webhook at the address.
func newDelivery(t *testing.T, address string) *world {
	t.Helper()
	w := newWorld(t)
	w.steps.Webhook = &activities.Webhook{URL: address, Secret: webhookSecret}
	return w
}

// published adds publications of these imports, one per minute.
func (w *world) published(sitemap string, imports ...int64) {
	w.t.Helper()
	for _, id := range imports {
		require.NoError(w.t, w.steps.Store.AddUndelivered(w.t.Context(), sink.Publication{
			ScrapingJobID: 1000 + id, Account: sink.DefaultAccount, SitemapID: 7, SitemapName: sitemap, CustomID: "custom", Status: "finished",
			ImportID: id, ReplacedImportID: 3, Kind: sink.Reimport, Counts: sink.Counts{Records: 20, Rejected: 1},
			Columns: []string{"price", "größe"}, PublishedAt: time.Date(2026, 1, 1, 0, int(id), 0, 123_000_000, time.UTC),
		}))
	}
}

func (w *world) deliver(sitemap string) error {
	w.t.Helper()
	_, err := run[any](w, "DeliverPublications", sitemap)
	return err
}

// addedBefore pretends that everything was added that long ago.
func (w *world) addedBefore(interval string) {
	w.t.Helper()
	_, err := w.db.Exec(`UPDATE scrapehaul.undelivered_publications SET added_at = now() - $1::interval`, interval)
	require.NoError(w.t, err)
}

func (w *world) problems() (all []string) {
	w.t.Helper()
	require.NoError(w.t, w.db.Select(&all,
		`SELECT problem FROM scrapehaul.undelivered_publications WHERE failed_at IS NOT NULL ORDER BY published_at`))
	return all
}

func (w *world) undelivered() int64 {
	w.t.Helper()
	return w.count(`SELECT count(*) FROM scrapehaul.undelivered_publications WHERE failed_at IS NULL`)
}

func TestPublicationIsDeliveredAsASignedCloudEvent(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL+"/hook?token=abc123")
	w.published(sitemapName, 12)
	require.NoError(t, w.deliver(sitemapName))
	require.Zero(t, w.count(`SELECT count(*) FROM scrapehaul.undelivered_publications`))
	require.Len(t, to.requests, 1)

	request := to.requests[0]
	require.Equal(t, http.MethodPost, request.Method)
	require.Equal(t, "/hook?token=abc123", request.RequestURI)
	require.Equal(t, "application/cloudevents+json", request.Header.Get("Content-Type"))
	require.Equal(t, "scrapingjob-1012-import-12", request.Header.Get("webhook-id"))
	verifier, err := standardwebhooks.NewWebhook(webhookSecret)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify([]byte(to.bodies[0]), request.Header))
	require.Error(t, verifier.Verify([]byte(to.bodies[0]+" "), request.Header))
	require.JSONEq(t, `{
		"specversion": "1.0", "id": "scrapingjob-1012-import-12", "source": "scrapehaul/default-test-namespace/default-test-taskqueue",
		"type": "io.scrapehaul.import.published", "subject": "prices", "time": "2026-01-01T00:12:00.123Z",
		"datacontenttype": "application/json",
		"data": {
			"scrapingjob_id": 1012, "account": "default", "sitemap_id": 7, "sitemap_name": "prices", "custom_id": "custom", "status": "finished",
			"import_id": 12, "replaced_import_id": 3, "kind": "reimport", "records": 20, "rejected": 1,
			"columns": ["price", "größe"], "published_at": "2026-01-01T00:12:00.123Z"
		}
	}`, to.bodies[0])
}

func TestPublicationsOfASitemapAreDeliveredInOrder(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL)
	w.published(sitemapName, 3, 1, 2)
	w.published("other", 4)
	to.answers(status(http.StatusInternalServerError))
	for range 2 {
		requireFailure(t, w.deliver(sitemapName), activities.Undelivered, true)
	}
	require.NoError(t, w.deliver("none"))
	to.answers(nil)
	require.NoError(t, w.deliver(sitemapName))
	require.NoError(t, w.deliver("other"))
	require.Equal(t, []int64{1, 1, 1, 2, 3, 4}, to.imports(t))
	require.Equal(t, to.requests[0].Header.Get("webhook-id"), to.requests[2].Header.Get("webhook-id"))
}

func TestDeliveryWaitsGrowAndRespectRetryAfter(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL)
	w.published(sitemapName, 1)
	for _, c := range []struct {
		added, after string
		code         int
		want         time.Duration
	}{
		{"0 s", "", 500, 5 * time.Second},
		{"40 s", "", 500, 40 * time.Second},
		{"40 s", "", 404, 40 * time.Second},
		{"3 h", "", 500, 15 * time.Minute},
		{"40 s", "3600", 429, time.Hour},
		{"40 s", "3600", 503, time.Hour},
		{"40 s", "3600", 500, 40 * time.Second},
		{"3 h", "1", 429, 15 * time.Minute},
		{"3 h", "soon", 429, 15 * time.Minute},
		{"3 h", "-7", 429, 15 * time.Minute},
		{"3 h", "99999999999999999", 429, 21 * time.Hour},
		{"23 h 50 min", "", 500, 10 * time.Minute},
		{"0 s", time.Now().Add(2 * time.Hour).UTC().Format(http.TimeFormat), 503, 2 * time.Hour},
	} {
		w.addedBefore(c.added)
		to.answers(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", c.after)
			w.WriteHeader(c.code)
		})
		err := w.deliver(sitemapName)
		requireFailure(t, err, activities.Undelivered, true)
		require.InDelta(t, c.want.Seconds(), failureOf(t, err).NextRetryDelay().Seconds(), 10, "%+v", c)
	}
}

func TestPublicationIsSkippedAfterADay(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL)
	w.published(sitemapName, 1)
	w.addedBefore("24 h 1 s")
	w.published(sitemapName, 2)
	to.answers(status(http.StatusBadGateway))
	requireFailure(t, w.deliver(sitemapName), activities.Undelivered, true)
	host := strings.TrimPrefix(to.URL, "http://")
	require.Equal(t, []string{"its publication was not delivered: the webhook at " + host + " returned 502 Bad Gateway"}, w.problems())
	to.answers(nil)
	require.NoError(t, w.deliver(sitemapName))
	require.Equal(t, []int64{1, 2, 2}, to.imports(t))
	require.Zero(t, w.undelivered())
}

func TestReceiverThatReturnsGoneGetsAPublicationOnce(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL)
	w.published(sitemapName, 1, 2)
	to.answers(status(http.StatusGone))
	require.NoError(t, w.deliver(sitemapName))
	require.Equal(t, []int64{1, 2}, to.imports(t))
	require.Len(t, w.problems(), 2)
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	target, to := newReceiver(t), newReceiver(t)
	w := newDelivery(t, to.URL)
	w.published(sitemapName, 1)
	for _, code := range []int{301, 302, 303, 307, 308} {
		to.answers(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target.URL, code) })
		require.ErrorContains(t, w.deliver(sitemapName), fmt.Sprintf("returned %d %s; redirects are not followed", code, http.StatusText(code)))
	}
	to.answers(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://[::not-a-url")
		w.WriteHeader(http.StatusFound)
	})
	require.Error(t, w.deliver(sitemapName))
	require.Empty(t, target.requests)
}

// Bodies are not read to the end.
func TestEndlessResponseDoesNotBlockDelivery(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL)
	for _, code := range []int{http.StatusOK, http.StatusTeapot} {
		w.published(sitemapName, int64(code))
		to.answers(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, strings.Repeat("no end\n", 1000))
			}
		})
		err := w.deliver(sitemapName)
		if code == http.StatusOK {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "418 I'm a teapot")
	}
	to.answers(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 1000 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
		}
	})
	require.ErrorContains(t, w.deliver(sitemapName), "sent no HTTP response")
}

// Receivers may repeat what they were sent.
func TestOnlyTheHostOfTheWebhookURLIsShown(t *testing.T) {
	t.Parallel()
	const user, password, path, plain, query = "user-zx91", "pass-zx92", "path-zx93%2Fzx94", "path-zx93/zx94", "query-zx95"
	to := newReceiver(t)
	host := strings.TrimPrefix(to.URL, "http://")
	repeat := func(r *http.Request) string {
		return strings.Join([]string{r.RequestURI, r.URL.Path, plain, r.URL.RawQuery, r.Header.Get("Authorization"), user, password}, " ")
	}
	for name, answer := range map[string]http.HandlerFunc{
		"in a body":     func(w http.ResponseWriter, r *http.Request) { http.Error(w, repeat(r), http.StatusForbidden) },
		"in a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x"+r.RequestURI, http.StatusFound) },
		"in a redirect to an invalid URL": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://[::"+repeat(r))
			w.WriteHeader(http.StatusFound)
		},
		"in an invalid HTTP response": func(w http.ResponseWriter, r *http.Request) {
			connection, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = fmt.Fprintf(connection, "HTTP/1.1 %s\r\n\r\n", repeat(r))
				_ = connection.Close()
			}
		},
		"not at all: the connection breaks": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newDelivery(t, "http://"+user+":"+password+"@"+host+"/"+path+"?token="+query)
			w.published(sitemapName, 1)
			to.answers(answer)
			err := w.deliver(sitemapName)
			require.ErrorContains(t, err, "the webhook at "+host+" ")
			w.addedBefore("25 h")
			require.NoError(t, w.deliver(sitemapName))
			require.Len(t, w.problems(), 1)
			for _, text := range append(w.problems(), err.Error()) {
				for _, secret := range []string{"zx9", "dXNlci16eDkx", webhookSecret[len("whsec_"):]} {
					require.NotContains(t, text, secret)
				}
			}
		})
	}
}

func TestUnreachableReceiverIsNamedByItsHost(t *testing.T) {
	t.Parallel()
	address := programtest.ClosedPort(t)
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	for address, want := range map[string]string{
		"http://" + address + "/path-zx93": "the webhook at " + address + " sent no HTTP response: dial tcp " + address,
		untrusted.URL + "/path-zx93":       "certificate",
	} {
		w := newDelivery(t, address)
		w.published(sitemapName, 1)
		err := w.deliver(sitemapName)
		requireFailure(t, err, activities.Undelivered, true)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "zx93")
	}
}

func TestWorkerWithoutTheWebhookSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.published(sitemapName, 1)
	require.ErrorContains(t, w.deliver(sitemapName), "this worker has no PUBLISHED_WEBHOOK_URL; set the same on all workers")
}

func TestRefusingDatabaseDoesNotEndTheDelivery(t *testing.T) {
	t.Parallel()
	w := newDelivery(t, newReceiver(t).URL)
	w.published(sitemapName, 1)
	_, err := w.db.Exec(`ALTER TABLE scrapehaul.undelivered_publications RENAME TO renamed`)
	require.NoError(t, err)
	requireFailure(t, w.deliver(sitemapName), activities.ErrorDatabaseRefuses, true)
}

func TestStoppingWorkerLeavesTheRestToAnother(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL)
	w.published(sitemapName, 1, 2)
	stop := make(chan struct{})
	to.answers(func(w http.ResponseWriter, _ *http.Request) {
		close(stop)
		w.WriteHeader(http.StatusOK)
	})
	env := w.environment()
	env.SetWorkerStopChannel(stop)
	_, err := env.ExecuteActivity("DeliverPublications", sitemapName)
	requireFailure(t, err, activities.ErrorWorkerStopping, true)
	require.Equal(t, int64(1), w.undelivered())
}

func TestPublicationWaitsForAnEarlierOne(t *testing.T) {
	t.Parallel()
	to := newReceiver(t)
	w := newDelivery(t, to.URL)
	// Its workflow has not queued its delivery yet.
	id, _ := w.importedJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1)})
	var earlier sink.Publication
	require.NoError(t, w.db.Get(&earlier.SitemapName, `SELECT sitemap_name FROM scrapehaul.scraping_jobs`))
	require.NoError(t, w.db.Get(&earlier.ImportID, `SELECT published_import_id FROM scrapehaul.scraping_jobs WHERE scrapingjob_id = $1`, id))
	require.NoError(t, w.db.Get(&earlier.PublishedAt, `SELECT published_at FROM scrapehaul.scraping_jobs`))
	later := earlier
	later.ImportID, later.PublishedAt = 99, earlier.PublishedAt.Add(time.Second)
	require.NoError(t, w.steps.Store.AddUndelivered(t.Context(), later))
	ended := make(chan error)
	go func() {
		_, err := w.environment().ExecuteActivity("DeliverPublications", earlier.SitemapName)
		ended <- err
	}()
	require.Never(t, func() bool { return len(to.imports(t)) > 0 }, 500*time.Millisecond, 20*time.Millisecond)
	require.NoError(t, w.steps.Store.AddUndelivered(t.Context(), earlier))
	require.NoError(t, w.steps.Store.SetAnnounced(t.Context(), earlier.ImportID, ""))
	require.NoError(t, <-ended)
	require.Equal(t, []int64{earlier.ImportID, 99}, to.imports(t))
}

func TestDeliveryIDIsValidForTemporal(t *testing.T) {
	t.Parallel()
	require.Equal(t, "scrapehaul-webhook-Preise für Möbel", activities.DeliveryID(sink.DefaultAccount, "Preise für Möbel"))
	long := strings.Repeat("ö", 300)
	seen := map[string]bool{}
	for _, name := range []string{"", long, long + "x", "a\x00b", "ab", "a\xffb", "a\xfeb", "a�b", "a\nb", strings.Repeat("a", 100)} {
		id := activities.DeliveryID(sink.DefaultAccount, name)
		require.LessOrEqual(t, len(id), 255)
		require.Regexp(t, `^scrapehaul-webhook-[[:print:]ö]*$`, id)
		require.False(t, seen[id], name)
		seen[id] = true
	}
}
