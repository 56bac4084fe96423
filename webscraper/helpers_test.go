package webscraper_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// token needs escaping in a query; neither form may be visible anywhere.
const token = "s3cret/to+ken=="

// newClient returns a client for the API that handler serves.
func newClient(t *testing.T, handler http.Handler, opts ...webscraper.Option) *webscraper.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := webscraper.NewClient(token, append([]webscraper.Option{webscraper.WithBaseURI(server.URL + "/api/v1/")}, opts...)...)
	require.NoError(t, err)
	return client
}

// newCloud returns a fake cloud and a client for it. In a synctest bubble they share
// its clock: time passes only while both wait.
func newCloud(t *testing.T, opts ...webscraper.Option) (*webscrapertest.Cloud, *webscraper.Client) {
	t.Helper()
	cloud := webscrapertest.New(webscrapertest.Options{Tokens: []string{token}})
	return cloud, newPipeClient(t, cloud, opts...)
}

// newPipeClient is newClient without a network, for synctest bubbles.
func newPipeClient(t *testing.T, handler http.Handler, opts ...webscraper.Option) *webscraper.Client {
	t.Helper()
	listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	transport := &http.Transport{DialContext: listener.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	client, err := webscraper.NewClient(token, append([]webscraper.Option{
		webscraper.WithBaseURI("http://cloud.test/api/v1/"),
		webscraper.WithHTTPClient(&http.Client{Transport: transport}),
	}, opts...)...)
	require.NoError(t, err)
	return client
}

// pipeListener is a [net.Listener] whose connections are [net.Pipe]s.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	close(l.closed)
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// send writes text. It ignores a reader that is gone.
func send(w io.Writer, text string) { _, _ = io.WriteString(w, text) }

// answer returns a handler that always sends the same response.
func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		send(w, body)
	}
}

// answerJSON returns a handler that always answers 200 with that JSON.
func answerJSON(body string) http.HandlerFunc { return answer(200, "application/json", body) }

// recorder answers every request with data and keeps the last request.
type recorder struct {
	data                       string
	request, contentType, body string
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rec.request, rec.contentType, rec.body = r.Method+" "+r.URL.Path, r.Header.Get("Content-Type"), string(body)
	answerJSON(`{"success":true,"data":`+rec.data+`}`)(w, r)
}
