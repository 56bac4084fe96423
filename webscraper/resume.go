package webscraper

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var (
	// errNotResumable says that the response to a request for the rest of a file must
	// not be appended to what was downloaded before.
	errNotResumable = errors.New("the server does not resume the download")
	// errUnexpectedStatus says that a response is not a download.
	errUnexpectedStatus = errors.New("unexpected status")
)

// resuming reports whether the rest of a file is asked for.
func (o DownloadOptions) resuming() bool { return o.Offset > 0 && o.Validator != "" }

// requestHeader returns the request header for the file or its rest.
func (o DownloadOptions) requestHeader() http.Header {
	h := http.Header{"Accept-Encoding": {"gzip"}}
	if o.Uncompressed || o.resuming() { // an offset counts uncompressed bytes
		h.Set("Accept-Encoding", "identity")
	}
	if o.resuming() {
		h.Set("Range", fmt.Sprintf("bytes=%d-", o.Offset))
		h.Set("If-Range", o.Validator)
	}
	return h
}

// responseHeader returns what a response to requestHeader is about to send, and the
// size of its body on the wire, or -1.
func (o DownloadOptions) responseHeader(resp *http.Response) (started Download, size int64, err error) {
	switch {
	case resp.StatusCode == http.StatusOK:
		return Download{Validator: validator(resp.Header)}, resp.ContentLength, nil
	case o.resuming() && resp.StatusCode == http.StatusPartialContent:
		rest, ok := restOfFile(resp.Header, o)
		if !ok {
			return Download{}, 0, errNotResumable
		}
		return Download{Offset: o.Offset, Validator: o.Validator}, rest, nil
	case o.resuming() && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		return Download{}, 0, errNotResumable
	default:
		return Download{}, 0, errUnexpectedStatus
	}
}

// validator returns what identifies the content of the file strictly enough to join
// parts of it: a strong entity tag, or the Last-Modified time if no other change can
// have followed within the same second.
func validator(h http.Header) string {
	if etag := h.Get("ETag"); strings.HasPrefix(etag, `"`) {
		return etag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		return ""
	}
	// RFC 7232, section 2.2.2, asks for this distance.
	if date, err := http.ParseTime(h.Get("Date")); err != nil || date.Sub(modified) < time.Minute {
		return ""
	}
	return h.Get("Last-Modified")
}

// restOfFile returns how many bytes the body of a 206 has, and whether they are the file
// from o.Offset to its end, of the content that o.Validator identifies.
func restOfFile(h http.Header, o DownloadOptions) (int64, bool) {
	identifiedBy := "Last-Modified"
	if strings.HasPrefix(o.Validator, `"`) {
		identifiedBy = "ETag"
	}
	if got := h.Get(identifiedBy); got != "" && got != o.Validator {
		return 0, false
	}
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return 0, false
	}
	// Content-Range: bytes 100-999/1000
	contentRange, ok := strings.CutPrefix(h.Get("Content-Range"), "bytes ")
	if !ok {
		return 0, false
	}
	span, total, _ := strings.Cut(contentRange, "/")
	first, last, _ := strings.Cut(span, "-")
	var n [3]int64
	for i, text := range []string{first, last, total} {
		var err error
		if n[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return 0, false
		}
	}
	return n[2] - n[0], n[0] == o.Offset && n[1] == n[2]-1 && n[1] >= n[0]
}
