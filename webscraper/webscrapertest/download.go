package webscrapertest

import (
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func (c *Cloud) downloadJSON(w http.ResponseWriter, r *http.Request, j job) {
	c.serveFile(w, r, "application/json", j.downloadable(r))
}

// downloadCSV generates the file while sending it, so that its length is unknown
// beforehand. A raw body is sent as it is.
func (c *Cloud) downloadCSV(w http.ResponseWriter, r *http.Request, j job) {
	const contentType = "text/csv; charset=UTF-8"
	records := j.downloadable(r)
	if given, ok := records.src.(*memory); ok && given.raw {
		c.serveFile(w, r, contentType, records)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Vary", "Accept-Encoding")
	// Failed writes, here and below, mean that the client is gone.
	if c.compresses(r) {
		compress(w, func(w io.Writer) { _ = writeCSV(w, records) })
		return
	}
	_ = writeCSV(w, records)
}

// serveFile sends the bytes of records: compressed if the request accepts gzip and has no
// range, otherwise with their length.
func (c *Cloud) serveFile(w http.ResponseWriter, r *http.Request, contentType string, records Records) {
	header, file := w.Header(), records.Open()
	header.Set("Content-Type", contentType)
	header.Set("Vary", "Accept-Encoding")
	ranged := !c.options.NoRanges && r.Header.Get("Range") != ""
	switch {
	case c.compresses(r) && !ranged:
		if !c.options.NoRanges {
			// Weak, so that If-Range never joins compressed and plain bytes.
			header.Set("ETag", "W/"+records.etag())
		}
		compress(w, func(w io.Writer) { _, _ = io.Copy(w, file) })
	case c.options.NoRanges:
		size, _ := file.Seek(0, io.SeekEnd)
		_, _ = file.Seek(0, io.SeekStart) // in memory, seeking cannot fail
		header.Set("Content-Length", strconv.FormatInt(size, 10))
		_, _ = io.Copy(w, file)
	default:
		header.Set("ETag", records.etag())
		http.ServeContent(w, r, "", time.Time{}, file)
	}
}

// compresses reports whether a request accepts gzip and the cloud compresses.
func (c *Cloud) compresses(r *http.Request) bool {
	return !c.options.NoGzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
}

func compress(w http.ResponseWriter, write func(io.Writer)) {
	w.Header().Set("Content-Encoding", "gzip")
	compressed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // a valid level
	write(compressed)
	_ = compressed.Close()
}
