package statuspage_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq" // the driver "postgres"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/statuspage"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestPageSaysWhatIsUnavailableSinceWhen(t *testing.T) {
	t.Parallel()
	closed := programtest.ClosedPort(t)
	temporal, err := client.NewLazyClient(client.Options{HostPort: closed})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	db, err := sqlx.Open("postgres", "postgres://me:database-password@"+closed+"/db?sslmode=disable")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	gin.SetMode(gin.TestMode)
	engine := gin.New()
	require.NoError(t, statuspage.Register(engine.Group("/admin"), statuspage.Options{ // links keep the host's prefix
		Client: temporal, Namespace: "default", Store: postgres.NewStore(db, nil), User: user, Password: password,
	}))

	get := func(path string) (status int, body string) {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		request.SetBasicAuth(user, password)
		answer := httptest.NewRecorder()
		engine.ServeHTTP(answer, request)
		return answer.Code, answer.Body.String()
	}
	var since []string
	for range 2 {
		status, body := get("/admin/imports")
		require.Equal(t, http.StatusOK, status)
		for _, name := range []string{"Temporal", "PostgreSQL"} {
			_, after, ok := strings.Cut(body, "<strong>"+name+" has been unavailable</strong> since <time datetime=\"")
			require.True(t, ok, body)
			at, _, _ := strings.Cut(after, `"`)
			since = append(since, at)
		}
		require.Contains(t, body, `href="/admin/imports/style.css"`)
		require.NotContains(t, body, closed)
	}
	require.Equal(t, since[:2], since[2:], "since the first attempt")
	status, body := get("/admin/imports/500")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "has been unavailable")
	status, body = get("/admin/imports/500/accept")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "Nothing was done")
}

func TestPageShowsWhatPublishingDidNotDo(t *testing.T) {
	t.Parallel()
	s := newSite(t, map[string]string{"HOLD_BEFORE_DELETE": "48h"})
	s.StartWorker(s.Spool)
	s.DB.MustExec(`DROP SCHEMA sitemaps CASCADE`)
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "tires", Records: webscrapertest.Products(20, 1)})
	s.Notify(id)
	s.WaitForStep(id, workflows.StepHold)
	require.Regexp(t, `<dt>Not done</dt><dd>[^<]*schema &#34;sitemaps&#34; does not exist`, s.visitor().get("/"+workflows.WorkflowID(id)).body)
}

func TestPageListsUnmappedRecords(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "mappings.yaml")
	require.NoError(t, os.WriteFile(file, []byte("mappings: [{sitemap: tires, table: tires, columns: [{name: width, type: integer}], mode: replace-job}]"), 0o600))
	s := newSite(t, map[string]string{"HOLD_BEFORE_DELETE": "48h", "MAPPINGS": file})
	s.StartWorker(s.Spool)
	id := s.Cloud.AddJob(webscrapertest.Job{SitemapName: "tires", Records: webscrapertest.JSONLines(`{"width":"205"}`, `{"width":"wide"}`, `{"width":`)})
	s.Notify(id)
	s.Attention(id)
	var body string
	s.WaitFor("a worker's answer", func() bool {
		body = s.visitor().get("/" + workflows.WorkflowID(id)).body
		return strings.Contains(body, "<dt>Without a row in the mapped table</dt><dd>1</dd>")
	})
	require.Contains(t, body, `Records that are rejected or do not fit the mapped table <span class="count">2</span>`)
	require.Contains(t, body, "<strong>Record 2</strong> does not fit: column &#34;width&#34;: &#34;wide&#34; is not a number")
	require.Contains(t, body, "<strong>Record 3</strong>: ")
	require.Contains(t, body, "1 + 1 unmapped")
}

func TestInvalidOptionsAreNamed(t *testing.T) {
	t.Parallel()
	err := statuspage.Register(gin.New(), statuspage.Options{User: "a:b", Password: "short-zx88", TemporalUIURL: "temporal:8233"})
	for _, part := range []string{"Client is missing", "Namespace is missing", "Store is missing", "User has a colon", "Password is 10 characters long", "TemporalUIURL is not the URL of a Temporal UI"} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "short-zx88")
}
