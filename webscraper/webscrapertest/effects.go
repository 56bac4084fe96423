package webscrapertest

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// FailWith answers with a status and the service's error body, as for a token
// that was withdrawn (401) or a job that was deleted (404).
func FailWith(status int) Effect {
	return instead(func(_ *Cloud, w http.ResponseWriter, _ *http.Request) { writeError(w, status) })
}

// FailWithHTML answers with a status and a page of HTML, as a proxy in front
// of the service does (500, 502, 503).
func FailWithHTML(status int) Effect {
	return instead(func(_ *Cloud, w http.ResponseWriter, _ *http.Request) {
		title := strconv.Itoa(status) + " " + http.StatusText(status)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>\r\n<head><title>"+title+"</title></head>\r\n"+
			"<body>\r\n<center><h1>"+title+"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
	})
}

// TooManyRequests answers 429 with Retry-After in whole seconds, rounded up,
// and a body that is not JSON. For the service's own limit see
// [Options].
func TooManyRequests(retryAfter time.Duration) Effect {
	return instead(func(c *Cloud, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(cmp.Or(max(c.limit.calls, 0), defaultCalls)))
		w.Header().Set("X-RateLimit-Remaining", "0")
		setRetryAfter(w.Header(), c.options.Clock(), retryAfter)
		http.Error(w, "Too Many Attempts.", http.StatusTooManyRequests)
	})
}

// Empty answers 200 without a body.
func Empty() Effect {
	return instead(func(_ *Cloud, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
}

// Hang never answers. It ends when the client goes.
func Hang() Effect {
	return instead(func(_ *Cloud, _ http.ResponseWriter, r *http.Request) { waitForClientToGo(r) })
}

// HangAt sends the first n bytes of the body and then no more. It ends when
// the client goes.
func HangAt(n int64) Effect {
	return cutAt(n, false, func(_ http.ResponseWriter, r *http.Request) { waitForClientToGo(r) })
}

// Reset resets the connection instead of answering.
func Reset() Effect {
	return instead(func(_ *Cloud, w http.ResponseWriter, _ *http.Request) {
		resetConnection(w)
		panic(http.ErrAbortHandler)
	})
}

// ResetAt resets the connection after the first n bytes of the body, which may
// be lost with it.
func ResetAt(n int64) Effect {
	return cutAt(n, false, func(w http.ResponseWriter, _ *http.Request) { resetConnection(w) })
}

// Truncate closes the connection after the first n bytes of the body, which is
// not compressed and has its Content-Length.
func Truncate(n int64) Effect {
	return cutAt(n, true, func(http.ResponseWriter, *http.Request) {})
}

// TruncateSilently ends the body after its first n bytes as if it were
// complete: it is not compressed and has no Content-Length.
func TruncateSilently(n int64) Effect {
	return around(func(_ *Cloud, next http.Handler, w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, plain(r))
		w.WriteHeader(whole.Code)
		_ = http.NewResponseController(w).Flush() // so that the server does not tell the length
		_, _ = io.CopyN(w, whole.Body, n)         // or all of it
	})
}

// Drip sends the body in pieces of n bytes, each after a pause.
func Drip(n int, pause time.Duration) Effect {
	return around(func(_ *Cloud, next http.Handler, w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(&dripWriter{ResponseWriter: w, request: r, size: n, pause: pause}, r)
	})
}

func around(answer func(c *Cloud, next http.Handler, w http.ResponseWriter, r *http.Request)) Effect {
	return func(c *Cloud, next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(c, next, w, r) })
	}
}

func instead(answer func(*Cloud, http.ResponseWriter, *http.Request)) Effect {
	return around(func(c *Cloud, _ http.Handler, w http.ResponseWriter, r *http.Request) { answer(c, w, r) })
}

// cutAt is an effect that lets n bytes of the body pass, calls then, and
// closes the connection. A shorter body passes whole.
func cutAt(n int64, uncompressed bool, then func(http.ResponseWriter, *http.Request)) Effect {
	return around(func(_ *Cloud, next http.Handler, w http.ResponseWriter, r *http.Request) {
		if uncompressed {
			r = plain(r)
		}
		next.ServeHTTP(&cutWriter{ResponseWriter: w, rest: n, then: func() { then(w, r) }}, r)
	})
}

// plain is the request without its wish for compression.
func plain(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Del("Accept-Encoding")
	return r
}

// waitForClientToGo returns when the client has closed its connection, which
// the server notices only once the request has been read.
func waitForClientToGo(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// resetConnection closes the connection of an answer with a TCP reset.
func resetConnection(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // HTTP/2: aborting the handler resets the stream
	}
	if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// cutWriter lets rest bytes pass. Then it calls then and aborts the answer.
type cutWriter struct {
	http.ResponseWriter
	rest int64
	then func()
}

func (w *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) <= w.rest {
		w.rest -= int64(len(p))
		return w.ResponseWriter.Write(p)
	}
	_, _ = w.ResponseWriter.Write(p[:w.rest])
	// Flushed, so that the server does not count a short body for its length.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
	w.then()
	panic(http.ErrAbortHandler)
}

type dripWriter struct {
	http.ResponseWriter
	request *http.Request
	size    int
	pause   time.Duration
}

func (w *dripWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		select {
		case <-time.After(w.pause):
		case <-w.request.Context().Done():
			return written, w.request.Context().Err()
		}
		n, err := w.ResponseWriter.Write(p[written:min(written+w.size, len(p))])
		written += n
		if err != nil {
			return written, err
		}
		_ = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return written, nil
}
