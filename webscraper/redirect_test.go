package webscraper_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

const signature = "X-Signature=s1gned"

// fileStore starts another host, with a file, and records its requests.
func fileStore(t *testing.T, answer http.HandlerFunc) (url string, seen *[]*http.Request) {
	t.Helper()
	seen = new([]*http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, seen
}

func serveFile(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
}

func TestDownloadFollowsARedirectWithoutTheToken(t *testing.T) {
	store, seen := fileStore(t, serveFile)
	for name, target := range map[string]string{
		"as it is":           "/file?" + signature,
		"echoing the token":  "/file?api_token=" + strings.ReplaceAll(token, "+", "%2B") + "&" + signature,
		"with a fragment":    "/file?" + signature + "#" + "part",
		"by another address": "/moved",
	} {
		t.Run(name, func(t *testing.T) {
			*seen = nil
			client := newClient(t, http.RedirectHandler(store+target, http.StatusFound))
			var got strings.Builder
			d, err := client.DownloadScrapingJob(t.Context(), 500, &got, webscraper.FormatJSON, webscraper.DownloadOptions{Uncompressed: true})
			require.NoError(t, err)
			require.Equal(t, "0123456789", got.String())

			resumed, err := client.DownloadScrapingJob(t.Context(), 500, &got, webscraper.FormatJSON,
				webscraper.DownloadOptions{Offset: 4, Validator: d.Validator})
			require.NoError(t, err)
			require.EqualValues(t, 4, resumed.Offset)
			require.Equal(t, "0123456789456789", got.String())

			require.Len(t, *seen, 2)
			for _, r := range *seen {
				require.Empty(t, r.URL.Query()["api_token"])
				require.NotContains(t, r.URL.String(), token[:5])
				for _, header := range []string{"Authorization", "Cookie", "Referer"} {
					require.Empty(t, r.Header[header])
				}
			}
			require.Equal(t, "bytes=4-", (*seen)[1].Header.Get("Range"))
			require.Equal(t, `"v1"`, (*seen)[1].Header.Get("If-Range"))
		})
	}
}

func TestCookiesOfTheAPIStayWithIt(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	jar.SetCookies(&url.URL{Scheme: "https", Host: "api.webscraper.io"}, []*http.Cookie{{Name: "session", Value: "s3cret"}})
	var cookies []string
	client, err := webscraper.NewClient(token, webscraper.WithHTTPClient(&http.Client{Jar: jar, Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		cookies = append(cookies, r.Header.Get("Cookie"))
		if r.URL.Host == "api.webscraper.io" {
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"https://files.test/file"}}, Body: http.NoBody}, nil
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})}))
	require.NoError(t, err)
	_, err = client.DownloadScrapingJob(t.Context(), 500, &strings.Builder{}, webscraper.FormatJSON, webscraper.DownloadOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"session=s3cret", ""}, cookies)
}

func TestDownloadFollowsFiveRedirects(t *testing.T) {
	target, _ := fileStore(t, serveFile)
	for n := 1; n <= 6; n++ {
		client := newClient(t, http.RedirectHandler(target, http.StatusTemporaryRedirect))
		_, err := client.DownloadScrapingJob(t.Context(), 500, &strings.Builder{}, webscraper.FormatJSON, webscraper.DownloadOptions{})
		if n <= 5 {
			require.NoError(t, err, "%d redirects", n)
		} else {
			require.ErrorContains(t, err, "303 See Other: redirected to http://127.0.0.1")
			require.ErrorContains(t, err, "too many redirects in a row")
		}
		next := target
		target, _ = fileStore(t, http.RedirectHandler(next, http.StatusSeeOther).ServeHTTP)
	}
}

func TestDownloadFollowsNoUnsafeRedirect(t *testing.T) {
	for target, want := range map[string]string{
		"http://files.test/signed?" + signature:         "it does not lead to https",
		"ftp://files.test/signed?" + signature:          "it does not lead to https",
		"https://files.test/" + token + "?" + signature: "its URL contains the API token",
		"": "redirected to an empty location",
	} {
		redirecting := func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "api.webscraper.io" {
				return nil, errors.New("followed")
			}
			return &http.Response{StatusCode: 302, Header: http.Header{"Location": {target}}, Body: http.NoBody}, nil
		}
		client, err := webscraper.NewClient(token, webscraper.WithHTTPClient(&http.Client{Transport: roundTripFunc(redirecting)}))
		require.NoError(t, err)
		_, err = client.DownloadScrapingJob(t.Context(), 500, &strings.Builder{}, webscraper.FormatJSON, webscraper.DownloadOptions{})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "which is not followed")
		require.NotContains(t, err.Error(), "s1gned")
		require.NotContains(t, err.Error(), token)
	}
}

// A response from another host says nothing about the token, the job or the API's
// budget.
func TestResponseFromAnotherHostIsNotTheAPIs(t *testing.T) {
	for _, status := range []int{401, 403, 404, 429, 503} {
		store, _ := fileStore(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-RateLimit-Remaining", "0")
			w.WriteHeader(status)
			send(w, "not with "+r.URL.String())
		})
		client := newClient(t, http.RedirectHandler(store+"/file?"+signature, http.StatusFound))
		_, err := client.DownloadScrapingJob(t.Context(), 500, &strings.Builder{}, webscraper.FormatJSON, webscraper.DownloadOptions{})
		var answer *webscraper.Error
		require.ErrorAs(t, err, &answer)
		require.Equal(t, status, answer.StatusCode)
		require.Equal(t, store, answer.RedirectedTo)
		require.ErrorContains(t, err, "response from "+store+", where the API redirected the download")
		require.NotContains(t, err.Error(), "s1gned")
		require.False(t, webscraper.IsUnauthorized(err) || webscraper.IsNotFound(err))
	}
}

func TestInterruptedDownloadFromAnotherHostResumesThere(t *testing.T) {
	store, seen := fileStore(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "" {
			w.Header().Set("ETag", `"v1"`)
			w.Header().Set("Content-Length", "10")
			send(w, "0123")
			return
		}
		serveFile(w, r)
	})
	client := newClient(t, http.RedirectHandler(store+"/file?"+signature, http.StatusFound))
	var file strings.Builder
	interrupted, err := client.DownloadScrapingJob(t.Context(), 500, &file, webscraper.FormatJSON, webscraper.DownloadOptions{Uncompressed: true})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	rest, err := client.DownloadScrapingJob(t.Context(), 500, &file, webscraper.FormatJSON, webscraper.DownloadOptions{
		Offset: interrupted.Bytes, Validator: interrupted.Validator,
	})
	require.NoError(t, err)
	require.Equal(t, webscraper.Download{Offset: 4, Bytes: 6, Validator: `"v1"`}, rest)
	require.Equal(t, "0123456789", file.String())
	require.Len(t, *seen, 2)
}
