package webscrapertest

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// FailWith responds with a status and the service's error body, as for a withdrawn token
// (401) or a deleted job (404).
func FailWith(status int) Effect {
	return instead(func(_ *Cloud, w http.ResponseWriter, _ *http.Request) { writeError(w, status) })
}

// FailWithHTML responds with a status and an HTML page, as a proxy in front of the
// service does (500, 502, 503).
func FailWithHTML(status int) Effect {
	return instead(func(_ *Cloud, w http.ResponseWriter, _ *http.Request) {
		title := strconv.Itoa(status) + " " + http.StatusText(status)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>\r\n<head><title>"+title+"</title></head>\r\n"+
			"<body>\r\n<center><h1>"+title+"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
	})
}

// TooManyRequests responds with 429, Retry-After in whole seconds, rounded up, and a body
// that is not JSON. For the service's own limit see [Options].
func TooManyRequests(retryAfter time.Duration) Effect {
	return instead(func(c *Cloud, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(cmp.Or(max(c.limit.calls, 0), defaultCalls)))
		w.Header().Set("X-RateLimit-Remaining", "0")
		setRetryAfter(w.Header(), c.options.Clock(), retryAfter)
		http.Error(w, "Too Many Attempts.", http.StatusTooManyRequests)
	})
}

// Empty responds with 200 and no body.
func Empty() Effect {
	return instead(func(_ *Cloud, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
}

// Hang never responds. It ends when the client disconnects.
func Hang() Effect {
	return instead(func(_ *Cloud, _ http.ResponseWriter, r *http.Request) { waitForClientToGo(r) })
}

// HangAt sends the first n bytes of the body and then hangs. It ends when the client
// disconnects.
func HangAt(n int64) Effect {
	return cutAt(n, false, func(_ http.ResponseWriter, r *http.Request) { waitForClientToGo(r) })
}

// Reset resets the connection instead of responding.
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

// Truncate closes the connection after the first n bytes of the body. The body is not
// compressed and has its full Content-Length.
func Truncate(n int64) Effect {
	return cutAt(n, true, func(http.ResponseWriter, *http.Request) {})
}

// TruncateSilently ends the body after its first n bytes as if it were
// complete: it is not compressed and has no Content-Length.
func TruncateSilently(n int64) Effect {
	return around(func(_ *Cloud, next http.Handler, w http.ResponseWriter, r *http.Request) {
		complete := httptest.NewRecorder()
		next.ServeHTTP(complete, plain(r))
		w.WriteHeader(complete.Code)
		_ = http.NewResponseController(w).Flush() // so that there is no Content-Length
		_, _ = io.CopyN(w, complete.Body, n)      // or all of it
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

// cutAt returns an effect that sends n bytes of the body, calls then, and closes the
// connection. A shorter body is sent complete.
func cutAt(n int64, uncompressed bool, then func(http.ResponseWriter, *http.Request)) Effect {
	return around(func(_ *Cloud, next http.Handler, w http.ResponseWriter, r *http.Request) {
		if uncompressed {
			r = plain(r)
		}
		next.ServeHTTP(&cutWriter{ResponseWriter: w, rest: n, then: func() { then(w, r) }}, r)
	})
}

// plain returns the request without Accept-Encoding.
func plain(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Del("Accept-Encoding")
	return r
}

// waitForClientToGo returns when the client has closed its connection. The server notices
// that only after reading the request.
func waitForClientToGo(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// resetConnection closes the connection with a TCP reset.
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

// cutWriter passes on rest bytes. Then it calls then and aborts the response.
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
	// Flush, or the server would set the Content-Length of a short body.
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
