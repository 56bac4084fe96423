package webscraper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestErrorHasTheServersMessage(t *testing.T) {
	const place = "webscraper: get scraping job 500: GET /api/v1/scraping-job/500: "
	tests := map[string]struct {
		status      int
		contentType string
		body        string
		want        string
	}{
		"vendor's error": {404, "application/json", `{"success":false,"error":"An error occured"}`,
			"404 Not Found: An error occured"},
		"Laravel's error": {500, "application/json", `{"message":"Server Error"}`,
			"500 Internal Server Error: Server Error"},
		"unsuccessful 200": {200, "application/json", `{"success":false,"error":"An error occured"}`,
			"200 OK: An error occured"},
		"validation errors": {400, "application/json", `{"success":false,"validationErrors":{"driver":["Unknown.","Required."],"custom_id":["Too long."]}}`,
			"400 Bad Request: custom_id: Too long.; driver: Unknown., Required."},
		"validation error that is no list": {400, "application/json", `{"success":false,"validationErrors":{"driver":"Unknown."}}`,
			"400 Bad Request: driver: Unknown."},
		"empty validation errors of PHP": {400, "application/json", `{"success":false,"error":"Bad","validationErrors":[]}`,
			"400 Bad Request: Bad"},
		"HTML": {502, "text/html", "<html>\n  <h1>502 Bad\n Gateway</h1></html>",
			`502 Bad Gateway: the body is not the API's JSON (Content-Type "text/html"): "<html> <h1>502 Bad Gateway</h1></html>"`},
		"HTML with 200": {200, "text/html", "<html>please log in</html>",
			`200 OK: the body is not the API's JSON (Content-Type "text/html"): "<html>please log in</html>"`},
		"long HTML": {500, "text/html", strings.Repeat("x", 1000),
			`500 Internal Server Error: the body is not the API's JSON (Content-Type "text/html"): "` + strings.Repeat("x", 200) + `…"`},
		"empty body": {503, "", "", "503 Service Unavailable: the body is empty"},
		"empty 200":  {200, "", "", "200 OK: the body is empty"},
		"cut JSON": {200, "application/json", `{"success":true,"da`,
			`200 OK: the body is not the API's JSON (Content-Type "application/json"): "{\"success\":true,\"da"`},
		"other JSON": {200, "application/json", `{"hello":"world"}`,
			`200 OK: the body reports neither success nor an error: "{\"hello\":\"world\"}"`},
		"error and validation errors": {400, "application/json", `{"success":false,"error":"An error occured","validationErrors":{"driver":["Unknown."]}}`,
			"400 Bad Request: An error occured; driver: Unknown."},
		"redirect without location": {302, "", "", "302 Found: redirected to an empty location, which is not followed; check the base URI"},
		"unknown status":            {599, "", "", "599: the body is empty"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := newClient(t, answer(test.status, test.contentType, test.body))
			_, err := client.ScrapingJob(t.Context(), 500)
			require.EqualError(t, err, place+test.want)
			var apiErr *webscraper.Error
			require.ErrorAs(t, err, &apiErr)
			require.Equal(t, test.status, apiErr.StatusCode)
		})
	}
}

func TestErrorFieldsCanBeInspected(t *testing.T) {
	client := newClient(t, answer(400, "application/json",
		`{"success":false,"validationErrors":{"scraping_job_id":["Data quality check not available yet, scraping job not finished"]}}`))
	_, err := client.ScrapingJobDataQuality(t.Context(), 500)
	var apiErr *webscraper.Error
	require.ErrorAs(t, fmt.Errorf("import: %w", err), &apiErr)
	require.Equal(t, &webscraper.Error{
		Operation:  "get data quality of scraping job 500",
		Method:     "GET",
		Path:       "/api/v1/scraping-job/500/data-quality",
		StatusCode: 400,
		ValidationErrors: map[string][]string{
			"scraping_job_id": {"Data quality check not available yet, scraping job not finished"},
		},
	}, apiErr)
}

func TestErrorKinds(t *testing.T) {
	tests := []struct {
		status                 int
		notFound, unauthorized bool
	}{
		{404, true, false},
		{401, false, true},
		{403, false, false},
		{500, false, false},
	}
	for _, test := range tests {
		client := newClient(t, answer(test.status, "application/json", `{"success":false,"error":"An error occured"}`))
		err := client.DeleteScrapingJob(t.Context(), 500)
		require.Equal(t, test.notFound, webscraper.IsNotFound(err), test.status)
		require.Equal(t, test.unauthorized, webscraper.IsUnauthorized(err), test.status)
		_, limited := webscraper.IsRateLimited(err)
		require.False(t, limited, test.status)
	}
	require.False(t, webscraper.IsNotFound(nil))
	require.False(t, webscraper.IsUnauthorized(errors.New("404")))
}

func TestDataOtherThanDocumentedIsAnError(t *testing.T) {
	tests := map[string]string{
		`{"success":true}`:                      "webscraper: get scraping job 500: the response has no data",
		`{"success":true,"data":null}`:          "webscraper: get scraping job 500: the response has no data",
		`{"success":true,"data":{"id":"five"}}`: `webscraper: get scraping job 500: the response data "{\"id\":\"five\"}" is not as documented: id: "five" is not a whole number`,
		`{"success":true,"data":{"id":{}}}`:     `"{}" is not a single value`,
		`{"success":true,"data":{"id":1.5}}`:    `"1.5" is not a whole number`,
		`{"success":true,"data":"ok"}`:          "cannot unmarshal string",
	}
	for body, want := range tests {
		client := newClient(t, answerJSON(body))
		_, err := client.ScrapingJob(t.Context(), 500)
		require.ErrorContains(t, err, want, body)
	}
}

func TestResponseThatIsTooLargeIsAnError(t *testing.T) {
	client := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		page := []byte(strings.Repeat(" ", 1<<20))
		for range 40 {
			send(w, string(page))
		}
	}))
	_, err := client.Account(t.Context())
	require.EqualError(t, err, "webscraper: get account: the response is larger than 33554432 bytes")
}

func TestTokenIsInNoErrorAndNoLog(t *testing.T) {
	escaped := url.QueryEscape(token)
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer(status, "text/"+token, "no access for "+token+" at "+r.URL.String())(w, r)
		}
	}
	tests := map[string]http.HandlerFunc{
		"HTML":        echo(500),
		"200":         echo(200),
		"JSON error":  answer(500, "application/json", `{"success":false,"error":"no access for `+token+`"}`),
		"validation":  answer(400, "application/json", `{"success":false,"validationErrors":{"`+token+`":["`+escaped+`"]}}`),
		"data":        answerJSON(`{"success":true,"data":{"id":"` + token + `"}}`),
		"cut excerpt": answer(500, "text/plain", strings.Repeat("x", 195)+token),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://user:"+escaped+"@other.test/"+escaped+"?"+r.URL.RawQuery, http.StatusFound)
		},
		"bad redirect": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://[::1?"+r.URL.RawQuery)
			w.WriteHeader(http.StatusFound)
		},
		"no response": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"broken response": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			echo(200)(w, r)
		},
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			var logged bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			client := newClient(t, handler, webscraper.WithLogger(logger))
			_, err := client.ScrapingJob(t.Context(), 500)
			require.Error(t, err)
			logger.Error("failed", "error", err)
			// Loggers of errors may follow the chain.
			for e := err; e != nil; e = errors.Unwrap(e) {
				logger.Error(e.Error())
			}
			require.NotContains(t, logged.String(), token)
			require.NotContains(t, logged.String(), escaped)
			require.NotContains(t, logged.String(), token[:5])
		})
	}
}

func TestErrorWithTheTokenStillMatchesItsCause(t *testing.T) {
	broken := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("tunnel for %s: %w", r.URL, syscall.ECONNRESET)
	})
	client, err := webscraper.NewClient(token, webscraper.WithHTTPClient(&http.Client{Transport: broken}))
	require.NoError(t, err)
	_, err = client.Account(t.Context())
	require.ErrorIs(t, err, syscall.ECONNRESET)
	var errno syscall.Errno
	require.ErrorAs(t, err, &errno)
	require.EqualError(t, err, "webscraper: get account: GET /api/v1/account: tunnel for https://api.webscraper.io/api/v1/account?api_token=[redacted]: connection reset by peer")
}

func TestRedirectIsNotFollowed(t *testing.T) {
	followed := false
	mux := http.NewServeMux()
	mux.Handle("/login", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	mux.Handle("/", http.RedirectHandler("/login?next=secret", http.StatusFound))
	client := newClient(t, mux)
	err := client.DeleteScrapingJob(t.Context(), 500)
	require.ErrorContains(t, err, "302 Found: redirected to http://127.0.0.1")
	require.ErrorContains(t, err, "/login, which is not followed; check the base URI")
	require.False(t, followed)
}

func TestConnectionErrorKeepsItsCause(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	listener.Close()
	client, err := webscraper.NewClient(token, webscraper.WithBaseURI("http://"+address))
	require.NoError(t, err)
	_, err = client.Account(t.Context())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.EqualError(t, err, "webscraper: get account: GET /account: dial tcp "+address+": connect: connection refused")
}

func TestCallTimesOut(t *testing.T) {
	tests := map[string]webscrapertest.Effect{
		"before the response": webscrapertest.Hang(),
		"in the response":     webscrapertest.HangAt(10),
	}
	for name, effect := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cloud, client := newCloud(t, webscraper.WithTimeout(7*time.Second))
				cloud.Inject(webscrapertest.Fault{Effect: effect})
				start := time.Now()
				_, err := client.Account(t.Context())
				require.Equal(t, 7*time.Second, time.Since(start))
				require.ErrorContains(t, err, "no complete response within 7s")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				var netErr net.Error
				require.ErrorAs(t, err, &netErr)
				require.True(t, netErr.Timeout())
			})
		})
	}
}

func TestCanceledCallMatchesItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, client := newCloud(t)
		cloud.Inject(webscrapertest.Fault{Effect: webscrapertest.Hang()})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := client.Account(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})
}

// roundTripFunc is an [http.RoundTripper].
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
