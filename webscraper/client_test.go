package webscraper_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

func TestNewClientNamesTheInvalidArgument(t *testing.T) {
	tests := map[string]struct {
		token string
		opt   webscraper.Option
		want  string
	}{
		"empty token":         {token: "", want: "the API token is empty"},
		"token with newline":  {token: "s3cret\n", want: "a trailing newline?"},
		"token with space":    {token: "s3 cret", want: "white space"},
		"two tokens":          {token: "s3cret", opt: webscraper.WithTokenSource(func() (string, error) { return "s3cret", nil }), want: "both a token and a token source are given"},
		"nil source":          {token: "", opt: webscraper.WithTokenSource(nil), want: "the token source is nil"},
		"base URI not a URL":  {token: "s3cret", opt: webscraper.WithBaseURI("http://[::1"), want: `the base URI "http://[::1" is not a URL; it must look like "https://api.webscraper.io/api/v1/"`},
		"base URI no scheme":  {token: "s3cret", opt: webscraper.WithBaseURI("api.webscraper.io/api/v1"), want: `"api.webscraper.io/api/v1" does not start with https://`},
		"base URI no host":    {token: "s3cret", opt: webscraper.WithBaseURI("https:///api/v1"), want: "has no host"},
		"base URI with token": {token: "s3cret", opt: webscraper.WithBaseURI("https://host/api/v1/?api_token=s3cret"), want: `"https://host/api/v1/" has a query`},
		"base URI with user":  {token: "s3cret", opt: webscraper.WithBaseURI("https://user:s3cret@host/api/v1/"), want: `"…@host/api/v1/" has a user name`},
		"base URI fragment":   {token: "s3cret", opt: webscraper.WithBaseURI("https://host/#s3cret"), want: `"https://host/" has a query or a fragment`},
		"timeout":             {token: "s3cret", opt: webscraper.WithTimeout(0), want: "the timeout is 0s; it must be positive"},
		"idle timeout":        {token: "s3cret", opt: webscraper.WithIdleTimeout(-time.Second), want: "the idle timeout is -1s; it must be positive"},
		"nil HTTP client":     {token: "s3cret", opt: webscraper.WithHTTPClient(nil), want: "the HTTP client is nil"},
		"nil logger":          {token: "s3cret", opt: webscraper.WithLogger(nil), want: "the logger is nil"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var opts []webscraper.Option
			if test.opt != nil {
				opts = append(opts, test.opt)
			}
			_, err := webscraper.NewClient(test.token, opts...)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestRequestCarriesTokenAndHeaders(t *testing.T) {
	var got *http.Request
	handler := func(w http.ResponseWriter, r *http.Request) {
		got = r
		answerJSON(`{"success":true,"data":{}}`)(w, r)
	}
	client := newClient(t, http.HandlerFunc(handler))

	_, err := client.Account(t.Context())
	require.NoError(t, err)
	require.Equal(t, "/api/v1/account", got.URL.Path)
	require.Equal(t, token, got.URL.Query().Get("api_token"))
	require.Contains(t, got.UserAgent(), "scrapehaul")
	require.Equal(t, "application/json, */*", got.Header.Get("Accept"))
}

func TestTokenSourceIsCalledForEachCall(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.URL.Query().Get("api_token"))
		w.WriteHeader(http.StatusBadRequest) // and repeats every token so far
		fmt.Fprintf(w, `{"success":false,"error":"bad %s"}`, strings.Join(got, " "))
	}))
	defer server.Close()
	next, broken := "first-s3cret", error(nil)
	client, err := webscraper.NewClient("", webscraper.WithBaseURI(server.URL), webscraper.WithTokenSource(func() (string, error) { return next, broken }))
	require.NoError(t, err)
	require.Empty(t, got, "no request is sent")

	_, err = client.Account(t.Context())
	require.EqualError(t, err, "webscraper: get account: GET /account: 400 Bad Request: bad [redacted]")
	next = "other-s3cret"
	_, err = client.WithBudget(nil).Account(t.Context())
	require.EqualError(t, err, "webscraper: get account: GET /account: 400 Bad Request: bad [redacted] [redacted]")
	require.Equal(t, []string{"first-s3cret", "other-s3cret"}, got)

	for _, c := range []struct {
		token string
		err   error
		want  string
	}{
		{"", nil, "the API token is empty"},
		{"third-s3cret\n", nil, "the API token contains white space or a control character (a trailing newline?)"},
		{"third-s3cret", errors.New("the file is gone,\nand other-s3cret with it"), "the file is gone, and [redacted] with it"},
	} {
		next, broken = c.token, c.err
		_, err = client.Account(t.Context())
		require.EqualError(t, err, "webscraper: get account: 401 Unauthorized: not sent: "+c.want)
		require.True(t, webscraper.IsUnauthorized(err))
	}
	require.Len(t, got, 2)
}

func TestTrailingSlashOfTheBaseURIIsOptional(t *testing.T) {
	for _, base := range []string{"/api/v1", "/api/v1/"} {
		var got string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r.URL.Path
			answerJSON(`{"success":true,"data":"ok"}`)(w, r)
		}))
		defer server.Close()
		client, err := webscraper.NewClient(token, webscraper.WithBaseURI(server.URL+base))
		require.NoError(t, err)
		require.NoError(t, client.DeleteScrapingJob(t.Context(), 500))
		require.Equal(t, "/api/v1/scraping-job/500", got)
	}
}

// roundTrip is a transport.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEmptyBaseURIIsTheDefault(t *testing.T) {
	var got string
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		got = r.URL.Scheme + "://" + r.URL.Host + r.URL.Path
		return nil, errors.New("not sent")
	})
	client, err := webscraper.NewClient(token, webscraper.WithBaseURI(""), webscraper.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	_, err = client.Account(t.Context())
	require.ErrorContains(t, err, "not sent")
	require.Equal(t, webscraper.DefaultBaseURI+"account", got)
}

func TestInjectedHTTPClientIsNotChanged(t *testing.T) {
	hc := &http.Client{}
	_, err := webscraper.NewClient(token, webscraper.WithHTTPClient(hc))
	require.NoError(t, err)
	require.Nil(t, hc.CheckRedirect)
}

func TestPrintingAClientHidesTheToken(t *testing.T) {
	client, err := webscraper.NewClient(token)
	require.NoError(t, err)
	var logged bytes.Buffer
	slog.New(slog.NewTextHandler(&logged, nil)).Info("made", "client", client)
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "client", client)
	printed := fmt.Sprintf("%v %+v %#v %s %d %s", client, client, client, client, client, logged.String())
	require.NotContains(t, printed, token)
	require.Contains(t, printed, "webscraper.Client(https://api.webscraper.io/api/v1/)")
}
