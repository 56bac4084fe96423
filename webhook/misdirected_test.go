package webhook_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

func TestMultipartFormIsAccepted(t *testing.T) {
	var body bytes.Buffer
	writer := multipart.NewWriter(&body)
	values, err := url.ParseQuery(vendorsExample)
	require.NoError(t, err)
	for name, value := range values {
		require.NoError(t, writer.WriteField(name, value[0]))
	}
	file, err := writer.CreateFormFile("attachment", "a.txt")
	require.NoError(t, err)
	_, err = io.WriteString(file, "ignored")
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	for _, contentType := range []string{writer.FormDataContentType(), strings.Replace(writer.FormDataContentType(), "multipart/form-data", "Multipart/Form-Data", 1)} {
		var c temporal
		s := serve(t, &c, withSignatures)
		status, answer := s.send(t, token, http.Header{"Content-Type": {contentType}, "Signature": {sign(signatureSecret, body.String())}}, body.String())
		require.Equal(t, http.StatusAccepted, status, answer)
		require.Equal(t, workflows.Notification{
			ScrapingJobID: 1234, Account: "default", Status: "finished", SitemapID: 12, SitemapName: "my-sitemap", CustomID: "custom-scraping-job-12",
		}, c.signals[0].payload)
	}
}

// to sends the vendor's example to a path with a query, without following redirects.
func (s server) to(t *testing.T, method, target string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, strings.NewReader(vendorsExample))
	require.NoError(t, err)
	request.Header.Set("Content-Type", form)
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.StatusCode == http.StatusMethodNotAllowed {
		require.Equal(t, http.MethodPost, response.Header.Get("Allow"))
	}
	require.NotContains(t, string(content), "secret", "a secret is in the answer")
	require.NotContains(t, s.log.String(), "secret", "a secret is in the log")
	return response.StatusCode, string(content)
}

func TestOtherSpellingsOfThePathAreAccepted(t *testing.T) {
	for _, path := range []string{
		"/webhooks/webscraper", "/webhooks/webscraper/", "//webhooks/webscraper", "/webhooks//webscraper",
		"/Webhooks/WebScraper", "/webhooks%2Fwebscraper", "/webhooks/webscraper%20", "/./webhooks/webscraper/.",
		"/webhooks/webscraper/.", "/webhooks/webscraper/default", "/webhooks/webscraper//Default/",
	} {
		var c temporal
		status, answer := serve(t, &c).to(t, http.MethodPost, path+"?token="+token)
		require.Equal(t, http.StatusAccepted, status, "%s: %s", path, answer)
		require.Len(t, c.signals, 1)
		status, _ = serve(t, &c).to(t, http.MethodPost, path+"?token=wrong")
		require.Equal(t, http.StatusUnauthorized, status, path)
	}
}

func TestNearMissesAreLoggedAndCounted(t *testing.T) {
	for _, test := range []struct {
		method, target string
		status         int
		says           string // "" if the request is unrelated to the webhook
	}{
		{"POST", "/?token=" + token, 404, `nothing is at "/": the webhook's path is /webhooks/webscraper`},
		{"POST", "/webhook?token=" + token, 404, `nothing is at "/webhook": `},
		{"POST", "/webhooks/webscraper/" + token + "=", 404, `nothing is at "/webhooks/webscraper/…": `},
		{"POST", "/webhooks/webscraper%3Ftoken=" + token, 404, `nothing is at "/webhooks/…": `},
		{"POST", "/api/WebScraper", 404, `nothing is at "/api/WebScraper": `},
		{"POST", "/webhooks/webscraper" + strings.Repeat("/a", 5000), 404, `nothing is at "/webhooks/webscraper/…": `},
		{"POST", "/webhooks/webscraper/a/secret/with/slashes", 404, `nothing is at "/webhooks/webscraper/…": `},
		{"GET", "/webhooks/webscraper?token=" + token, 405, "got a GET, want a POST. A redirect, from http to https"},
		{"PUT", "/webhooks/webscraper/?token=" + token, 405, "got a PUT, want a POST. "},
		{"POST", "/login", 404, ""},
		{"GET", "/?token=" + token, 404, ""},
		{"GET", "/webhooks/webscraper", 404, ""}, // a check whether it exists
	} {
		var c temporal
		counted := &counted{}
		s := serve(t, &c, func(o *webhook.Options) { o.MetricsHandler = counted })
		status, answer := s.to(t, test.method, test.target)
		require.Equal(t, test.status, status, answer)
		require.Empty(t, c.signals)
		if test.says == "" {
			require.Empty(t, s.log.String())
			require.Zero(t, counted.of(" misdirected"))
			continue
		}
		var line struct{ Error string }
		require.NoError(t, json.Unmarshal(s.log.Bytes(), &line), "one line: %s", s.log)
		require.Contains(t, line.Error, test.says)
		require.EqualValues(t, 1, counted.of(" misdirected"))
	}
}

// counted is a metrics handler that counts notifications by answer.
type counted struct {
	client.MetricsHandler
	answer string
	all    map[string]int64
}

func (c *counted) WithTags(tags map[string]string) client.MetricsHandler {
	if c.all == nil {
		c.all = map[string]int64{}
	}
	return &counted{answer: tags["account"] + " " + tags["answer"], all: c.all}
}

func (c *counted) Counter(string) client.MetricsCounter { return c }
func (c *counted) Inc(n int64)                          { c.all[c.answer] += n }

// of returns the count for an account and an answer, such as "acme accepted".
func (c *counted) of(answer string) int64 { return c.all[answer] }

func TestWebhookWorksInARouterGroup(t *testing.T) {
	var c temporal
	engine := gin.New()
	require.NoError(t, webhook.Register(engine.Group("/Partners"), webhook.Options{Client: &c, Tokens: []string{token}, NoRoute: engine.NoRoute}))
	for _, path := range []string{"/Partners/webhooks/webscraper/", "/partners//webhooks/webscraper"} {
		require.Equal(t, http.StatusAccepted, (&receiver{engine: engine}).postTo(t.Context(), path+"?token="+token), path)
	}
	require.Equal(t, http.StatusNotFound, (&receiver{engine: engine}).postTo(t.Context(), webhook.Path+"?token="+token))
}

func TestUnauthenticatedRequestsAreLoggedOncePerSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c temporal
		r := receive(t, &c)
		for range 1000 {
			require.Equal(t, http.StatusUnauthorized, r.postTo(t.Context(), webhook.Path+"?token=wrong"))
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(time.Second)
		r.postTo(t.Context(), webhook.Path+"?token=wrong")
		require.Equal(t, 3, strings.Count(r.log.String(), "Notification refused"), r.log)
		require.Equal(t, 2, strings.Count(r.log.String(), "left_out=499"), r.log)
	})
}
