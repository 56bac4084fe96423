package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/programtest"
	"github.com/scrapehaul/scrapehaul/webhook"
)

const notification = "scrapingjob_id=1234&status=finished&sitemap_id=12&sitemap_name=my-sitemap&custom_id=custom-scraping-job-12"

// runningStarter is the program in a goroutine.
type runningStarter struct {
	*programtest.Running
	t       *testing.T
	address string
}

// startStarter starts the program and waits until it serves.
func startStarter(t *testing.T) *runningStarter {
	t.Helper()
	// A short interval: changes of the schedule show immediately.
	s := &runningStarter{Running: programtest.Start(t, "starter", &commands{Serve: serveCommand{refreshEvery: 50 * time.Millisecond}}, "serve"), t: t}
	t.Cleanup(func() {
		s.Stop()
		for _, token := range []string{oldToken, newToken} {
			require.NotContains(t, s.Log.String(), token)
		}
	})
	s.address, _ = s.WaitForLog("Starter serving")["address"].(string)
	require.NotEmpty(t, s.address, s.Log.String())
	return s
}

type answer struct {
	status int
	body   string
}

func (s *runningStarter) get(path string) answer {
	s.t.Helper()
	response, err := http.Get("http://" + s.address + path)
	return s.read(response, err)
}

func (s *runningStarter) post(token string) answer {
	s.t.Helper()
	return s.send(token, strings.NewReader(notification), func() {})
}

// send sends a notification and calls reading when the starter asks for the body.
func (s *runningStarter) send(token string, body io.Reader, reading func()) answer {
	return s.sendTo(webhook.Path, token, body, reading)
}

func (s *runningStarter) sendTo(path, token string, body io.Reader, reading func()) answer {
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: reading})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+path, body)
	if err != nil {
		s.t.Errorf("notifying: %v", err)
		return answer{}
	}
	request.URL.RawQuery = url.Values{"token": {token}}.Encode()
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Expect", "100-continue")
	return s.read(http.DefaultClient.Do(request))
}

// read may be called from any goroutine.
func (s *runningStarter) read(response *http.Response, err error) answer {
	if err != nil {
		s.t.Errorf("asking the starter: %v", err)
		return answer{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Errorf("reading the starter's answer: %v", err)
	}
	return answer{response.StatusCode, string(body)}
}
