package webhook_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

const token = "first-secret-of-two"

// temporal records the handler's calls.
type temporal struct {
	client.Client
	err     error
	running string // the type of another workflow with this ID, if any

	mu      sync.Mutex
	signals []signal
}

type signal struct {
	workflowID, name string
	payload          any
	options          client.StartWorkflowOptions
	workflow         any
	args             []any
}

type run struct{ client.WorkflowRun }

func (run) GetID() string    { return "1234" }
func (run) GetRunID() string { return "the-run" }

func (t *temporal) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Type: &commonpb.WorkflowType{Name: cmp.Or(t.running, workflows.ImportScrapingJobName)},
	}}, nil
}

func (t *temporal) SignalWithStartWorkflow(
	ctx context.Context, id, name string, payload any, options client.StartWorkflowOptions, workflow any, args ...any,
) (client.WorkflowRun, error) {
	if _, limited := ctx.Deadline(); !limited {
		return nil, errors.New("the call has no deadline")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.signals = append(t.signals, signal{id, name, payload, options, workflow, args})
	return run{}, t.err
}

type server struct {
	*httptest.Server
	log *bytes.Buffer
}

func serve(t *testing.T, c client.Client, change ...func(*webhook.Options)) server {
	t.Helper()
	gin.SetMode(gin.TestMode)
	var log bytes.Buffer
	engine := gin.New() // a host's own
	options := webhook.Options{
		NoRoute: engine.NoRoute,
		Client:  c, Tokens: []string{token, "second-secret-of-two"},
		Settings: workflows.Settings{HoldBeforeDelete: "1h"},
		Logger:   slog.New(slog.NewJSONHandler(&log, nil)),
	}
	for _, change := range change {
		change(&options)
	}
	require.NoError(t, webhook.Register(engine, options))
	s := server{httptest.NewServer(engine), &log}
	t.Cleanup(s.Close)
	return s
}

const form = "application/x-www-form-urlencoded"

func (s server) post(t *testing.T, token, contentType, body string) (status int, answer map[string]any) {
	t.Helper()
	return s.send(t, token, http.Header{"Content-Type": {contentType}}, body)
}

func (s server) send(t *testing.T, token string, header http.Header, body string) (status int, answer map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.URL+webhook.Path+"?token="+url.QueryEscape(token), strings.NewReader(body))
	require.NoError(t, err)
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &answer), "%s", content)
	require.NotContains(t, string(content), "secret", "a secret is in the answer")
	require.NotContains(t, s.log.String(), "secret", "a secret is in the log")
	return response.StatusCode, answer
}

const vendorsExample = "scrapingjob_id=1234&status=finished&sitemap_id=12&sitemap_name=my-sitemap&custom_id=custom-scraping-job-12"

func TestNotificationSignalsTheWorkflowOfItsJob(t *testing.T) {
	var c temporal
	s := serve(t, &c)
	status, answer := s.post(t, token, form+"; charset=utf-8", vendorsExample)
	require.Equal(t, http.StatusAccepted, status)
	require.Equal(t, map[string]any{"workflow_id": "1234", "run_id": "the-run"}, answer)

	require.Len(t, c.signals, 1)
	got := c.signals[0]
	require.Equal(t, "1234", got.workflowID)
	require.Equal(t, "1234", got.options.ID)
	require.Equal(t, "scrapingjob-import", got.options.TaskQueue)
	require.Equal(t, "my-sitemap · finished", got.options.StaticSummary)
	require.Equal(t, "notification", got.name)
	require.Equal(t, "ImportScrapingJob", got.workflow)
	require.Equal(t, workflows.Notification{
		ScrapingJobID: 1234, Account: "default", Status: "finished", SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-scraping-job-12",
	}, got.payload)
	require.Equal(t, []any{workflows.ImportScrapingJobInput{ScrapingJobID: 1234, Account: "default", Settings: workflows.Settings{HoldBeforeDelete: "1h"}}}, got.args)
}

func TestOtherWorkflowWithTheJobIDIsReported(t *testing.T) {
	c := temporal{running: "OrderWorkflow"}
	s := serve(t, &c)
	status, answer := s.post(t, token, form, vendorsExample)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, map[string]any{"error": "another workflow has this job's ID: see the log"}, answer)
	require.Contains(t, s.log.String(), "workflow 1234 is a OrderWorkflow: ")
	require.Contains(t, s.log.String(), "give imports their own namespace")

	c.running = workflows.ImportScrapingJobName
	status, _ = s.post(t, token, form, vendorsExample)
	require.Equal(t, http.StatusAccepted, status)
}

func TestNotificationsOfEveryKindAreAccepted(t *testing.T) {
	for name, body := range map[string]string{
		"without custom_id":     "scrapingjob_id=1&status=finished&sitemap_id=12&sitemap_name=a",
		"with empty custom_id":  "scrapingjob_id=1&status=finished&sitemap_id=12&sitemap_name=a&custom_id=",
		"with unknown fields":   vendorsExample + "&test=1&test=2",
		"with unknown status":   "scrapingjob_id=1&status=paused&sitemap_id=12&sitemap_name=a",
		"with any sitemap name": "scrapingjob_id=9223372036854775807&status=failed&sitemap_id=12&sitemap_name=" + url.QueryEscape(strings.Repeat("ключ|\n", 200)),
	} {
		t.Run(name, func(t *testing.T) {
			var c temporal
			status, answer := serve(t, &c).post(t, "second-secret-of-two", form, body)
			require.Equal(t, http.StatusAccepted, status, answer)
			require.Len(t, c.signals, 1)
			require.LessOrEqual(t, len(c.signals[0].options.StaticSummary), 200)
		})
	}
}

func TestInvalidNotificationsAreRefused(t *testing.T) {
	for _, test := range []struct {
		name, token, contentType, body string
		status                         int
		fields                         map[string]any
		says                           string
	}{
		{"no token", "", form, vendorsExample, 401, nil, "token"},
		{"wrong token", token + "x", form, vendorsExample, 401, nil, "token"},
		{"JSON", token, "application/json", `{"scrapingjob_id":1234}`, 415, nil, `"application/json"`},
		{"endless content type", token, strings.Repeat("x", 10_000), vendorsExample, 415, nil, "(10000 bytes)"},
		{"no content type", token, "", vendorsExample, 415, nil, `""`},
		{"too large", token, form, vendorsExample + "&x=" + strings.Repeat("x", 64<<10), 413, nil, "65536 bytes"},
		{"not a form", token, form, "scrapingjob_id=%zz", 400, nil, "%zz"},
		{"multipart without a boundary", token, "multipart/form-data", vendorsExample, 400, nil, "not a multipart form"},
		{"multipart that is cut off", token, "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=status\r\n\r\nfin", 400, nil, "not a multipart form"},
		{"multipart that is too large", token, "multipart/form-data; boundary=x", strings.Repeat("x", 64<<10+1), 413, nil, "65536 bytes"},
		{"multipart with a file for a field", token, "multipart/form-data; boundary=x",
			"--x\r\nContent-Disposition: form-data; name=status; filename=a\r\n\r\nfinished\r\n--x--", 400, nil, "status is missing"},
		{"empty", token, form, "", 400, map[string]any{
			"scrapingjob_id": "is missing", "status": "is missing", "sitemap_id": "is missing", "sitemap_name": "is missing",
		}, "scrapingjob_id is missing"},
		{"bad fields", token, form, "scrapingjob_id=12x&status=&sitemap_id=-1&sitemap_name=a", 400, map[string]any{
			"scrapingjob_id": `is "12x": want a positive decimal number`,
			"sitemap_id":     `is "-1": want a positive decimal number`,
			"status":         `is "": want a value`,
		}, `sitemap_id is "-1"`},
		{"number over 64 bits", token, form, strings.Replace(vendorsExample, "1234", "9223372036854775808", 1), 400, map[string]any{
			"scrapingjob_id": `is "9223372036854775808": want a positive decimal number`,
		}, ""},
		{"signed number", token, form, strings.Replace(vendorsExample, "1234", "%2B1234", 1), 400, map[string]any{
			"scrapingjob_id": `is "+1234": want a positive decimal number`,
		}, ""},
		{"field twice", token, form, vendorsExample + "&scrapingjob_id=5", 400, map[string]any{
			"scrapingjob_id": `occurs 2 times, first as "1234"`,
		}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c temporal
			status, answer := serve(t, &c).post(t, test.token, test.contentType, test.body)
			require.Equal(t, test.status, status, answer)
			require.Contains(t, answer["error"], test.says)
			if test.fields != nil {
				require.Equal(t, test.fields, answer["fields"])
			}
			require.Empty(t, c.signals)
		})
	}
}

func TestTemporalFailureIsAnsweredWith503(t *testing.T) {
	c := temporal{err: errors.New("namespace internal-name is not there")}
	s := serve(t, &c)
	status, answer := s.post(t, token, form, vendorsExample)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.NotContains(t, answer["error"], "internal-name")
	require.Contains(t, s.log.String(), "internal-name", "the cause is in the log")
}

func TestUnknownSettingsAreAnsweredWith503(t *testing.T) {
	var c temporal
	failure := errors.New("the settings are unknown")
	s := serve(t, &c, func(o *webhook.Options) {
		o.CurrentSettings = func(context.Context) (workflows.Settings, error) {
			return workflows.Settings{HoldBeforeDelete: "never"}, failure
		}
	})
	status, _ := s.post(t, token, form, vendorsExample)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Empty(t, c.signals, "no import with a shorter hold")
	failure = nil
	status, _ = s.post(t, token, form, vendorsExample)
	require.Equal(t, http.StatusAccepted, status)
	require.Equal(t, []any{workflows.ImportScrapingJobInput{ScrapingJobID: 1234, Account: "default", Settings: workflows.Settings{HoldBeforeDelete: "never"}}}, c.signals[0].args)
}

func TestAnswerComesInTimeWhenTemporalIsUnreachable(t *testing.T) {
	// A listener that never answers is harder than a closed port.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	lazy, err := client.NewLazyClient(client.Options{HostPort: silent.Addr().String(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer lazy.Close()

	start := time.Now()
	status, _ := serve(t, lazy).post(t, token, form, vendorsExample)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Less(t, time.Since(start), 8*time.Second)
}

// The server of this test has no timeouts: the handler's are tested.
func TestAnswerComesInTimeWhenTheBodyDoesNot(t *testing.T) {
	for _, test := range []struct {
		name, token, contentType, answer string
	}{
		{"valid so far", token, form, "HTTP/1.1 408"},
		{"wrong token", "wrong", form, "HTTP/1.1 401"},
		{"not a form", token, "text/plain", "HTTP/1.1 415"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var c temporal
			s := serve(t, &c)
			connection, err := net.Dial("tcp", s.Listener.Addr().String())
			require.NoError(t, err)
			defer func() { require.NoError(t, connection.Close()) }()
			require.NoError(t, connection.SetReadDeadline(time.Now().Add(8*time.Second)))
			_, err = fmt.Fprintf(connection, "POST %s?token=%s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\nscrapingjob_id=",
				webhook.Path, test.token, test.contentType)
			require.NoError(t, err)
			answer, err := io.ReadAll(connection)
			require.NoError(t, err, "the answer comes and the connection ends within 8 s")
			require.Contains(t, string(answer), test.answer)
			require.Empty(t, c.signals)
		})
	}
}

func TestMissingOptionsAreNamedTogether(t *testing.T) {
	err := webhook.Register(gin.New(), webhook.Options{Settings: workflows.Settings{HoldBeforeDelete: "soon"}})
	require.ErrorContains(t, err, "Client is missing")
	require.ErrorContains(t, err, "Tokens is empty")
	require.ErrorContains(t, err, `hold_before_delete is "soon"`)
	err = webhook.Register(gin.New(), webhook.Options{Tokens: []string{token}, TokensOf: func(string) []string { return nil }})
	require.ErrorContains(t, err, "Client is missing")
	require.ErrorContains(t, err, "Tokens and TokensOf are both set")
	for refused, want := range map[string]string{
		"":                    "Tokens[1] is 0 characters long, but needs 16: ",
		"fifteen-letters":     "Tokens[1] is 15 characters long, but needs 16: ",
		token + "+":           "Tokens[1] has a character that is special in a URL's query",
		token + "&a":          "Tokens[1] has a character that is special in a URL's query",
		"#" + token:           "Tokens[1] has a character that is special in a URL's query",
		token + "%20":         "Tokens[1] has a character that is special in a URL's query",
		token + " " + token:   "Tokens[1] has a character that is special in a URL's query",
		token + ";":           "Tokens[1] has a character that is special in a URL's query",
		"schlüssel-der-firma": "Tokens[1] has a character that is special in a URL's query",
	} {
		err = webhook.Register(gin.New(), webhook.Options{Client: &temporal{}, Tokens: []string{token, refused}})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "letters, digits and - . _ ~")
		if refused != "" {
			require.NotContains(t, err.Error(), refused)
		}
	}
}
