package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/process"
	"github.com/scrapehaul/scrapehaul/webhook"
)

const notification = "scrapingjob_id=1234&status=finished&sitemap_id=12&sitemap_name=my-sitemap&custom_id=custom-scraping-job-12"

// runningStarter is the program in a goroutine of the test.
type runningStarter struct {
	t       *testing.T
	address string
	log     *lockedBuffer
	ended   chan struct{}
	code    int // read after ended
}

// startStarter starts the program and returns when it serves.
func startStarter(t *testing.T) *runningStarter {
	t.Helper()
	s := &runningStarter{t: t, log: new(lockedBuffer), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		s.code = process.Main("starter", "", new(commands), []string{"serve"}, process.Streams{Out: io.Discard, Err: s.log})
	}()
	t.Cleanup(func() {
		s.stop()
		for _, token := range []string{oldToken, newToken} {
			require.NotContains(t, s.log.String(), token)
		}
	})
	require.Eventually(t, s.serves, waitAtMost, pollEvery)
	require.NotEmpty(t, s.address, s.log.String())
	return s
}

// serves looks for the address in the log; a program that has ended will have
// none.
func (s *runningStarter) serves() bool {
	select {
	case <-s.ended:
		return true
	default:
	}
	for line := range strings.Lines(s.log.String()) {
		var read struct {
			Message string `json:"msg"`
			Address string `json:"address"`
		}
		if json.Unmarshal([]byte(line), &read) == nil && read.Message == "Starter serving" {
			s.address = read.Address
		}
	}
	return s.address != ""
}

// stop sends SIGTERM to this process, unless the program has ended, and
// returns its exit code.
func (s *runningStarter) stop() int {
	s.t.Helper()
	select {
	case <-s.ended:
	default:
		require.NoError(s.t, syscall.Kill(os.Getpid(), syscall.SIGTERM))
	}
	<-s.ended
	return s.code
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

// send sends a notification and calls reading when the starter asks for its
// body.
func (s *runningStarter) send(token string, body io.Reader, reading func()) answer {
	ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{Got100Continue: reading})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.address+webhook.Path, body)
	if err != nil {
		s.t.Errorf("notifying: %v", err)
		return answer{}
	}
	request.URL.RawQuery = url.Values{"token": {token}}.Encode()
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Expect", "100-continue")
	return s.read(http.DefaultClient.Do(request))
}

// read may be called by other goroutines than the test's.
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

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
