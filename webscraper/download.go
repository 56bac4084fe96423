package webscraper

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Format is a file format of a scraping job's records.
type Format string

// The supported formats: JSON Lines and CSV. Web Scraper Cloud's Excel export is not
// supported.
const (
	FormatJSON Format = "json"
	FormatCSV  Format = "csv"
)

// Download says what a download wrote; with an error, how far it got.
type Download struct {
	// Offset is the position in the file of the first byte written: that of
	// [DownloadOptions] if the server continued there, otherwise 0.
	Offset int64
	// Bytes is how many bytes were written, uncompressed.
	Bytes int64
	// Validator identifies this content of the file for [DownloadOptions]; empty if
	// the server sent none.
	Validator string
}

// DownloadOptions change one download. The zero value downloads the complete file.
type DownloadOptions struct {
	// Raw asks for the records as scraped, before the sitemap's parser.
	Raw bool
	// Uncompressed asks the server not to compress the download. It is larger on
	// the wire, but its length is usually known, and it usually has a
	// [Download.Validator].
	Uncompressed bool
	// Offset and Validator resume an interrupted download: they ask for the file
	// from byte Offset on, if it still matches the [Download.Validator]. If it does
	// not, or the server does not support this, the complete file is sent again.
	Offset    int64
	Validator string
	// OnHeader, if set, is called after the response header and before the first byte
	// is written, for example to check whether the file fits on the disk. The
	// download has no Bytes yet; if its Offset is 0, the writer must drop what it has
	// of the file. The length is how many bytes will be written, or -1 if the server
	// does not say, as with a compressed download. An error from OnHeader ends the
	// download and is wrapped in its error.
	OnHeader func(started Download, length int64) error
}

// DownloadScrapingJob writes the records of a scraping job to w: in [FormatJSON]
// as JSON Lines, one object per line. It keeps only a small part of the file in
// memory. If the body ends early, the error wraps [io.ErrUnexpectedEOF]; if the
// server falls silent, it matches [context.DeadlineExceeded].
//
// The file of a job that has not ended is empty or incomplete, yet its download
// succeeds: check the job's Status and StoredRecordCount.
func (c *Client) DownloadScrapingJob(ctx context.Context, id int64, w io.Writer, format Format, opts DownloadOptions) (Download, error) {
	req := request{
		operation: fmt.Sprintf("download scraping job %d as %s", id, format),
		method:    http.MethodGet,
		path:      fmt.Sprintf("scraping-job/%d/%s", id, format),
	}
	if opts.Raw {
		req.query = url.Values{"raw": {"true"}}
	}
	d, err := c.downloadOnce(ctx, req, w, opts)
	if errors.Is(err, errNotResumable) {
		opts.Offset = 0
		d, err = c.downloadOnce(ctx, req, w, opts)
	}
	return d, err
}

func (c *Client) downloadOnce(ctx context.Context, req request, w io.Writer, o DownloadOptions) (Download, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(c.idleTimeout, func() {
		cancel(timeoutError(fmt.Sprintf("the server sent nothing for %v", c.idleTimeout)))
	})
	defer silence.Stop()
	req.header = o.requestHeader()
	resp, err := c.roundTrip(ctx, req)
	var host string
	if err == nil {
		resp, host, err = c.followDownload(ctx, req, resp)
	}
	silence.Stop()
	if err != nil {
		return Download{}, err
	}
	defer resp.Body.Close()
	wire := &idleReader{r: resp.Body, timer: silence, timeout: c.idleTimeout}

	d, size, err := o.responseHeader(resp)
	if errors.Is(err, errUnexpectedStatus) {
		err = c.responseError(req, resp, wire).redirected(host)
	}
	if err != nil {
		return Download{}, err
	}
	encoding, length := strings.ToLower(resp.Header.Get("Content-Encoding")), size
	switch encoding {
	case "", "identity":
	case "gzip":
		length = -1 // of the file; size is the length on the wire
	default:
		return Download{}, fmt.Errorf("webscraper: %s: the response has the Content-Encoding %q, which was not requested", req.operation, c.shorten(encoding, 100))
	}
	if o.OnHeader != nil {
		if err := o.OnHeader(d, length); err != nil {
			return d, fmt.Errorf("webscraper: %s: %w", req.operation, err)
		}
	}
	body := io.Reader(wire)
	if encoding == "gzip" && size != 0 { // Content-Length 0 is an empty file
		body, err = gzip.NewReader(wire)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if err == nil {
		d.Bytes, err = copyBody(w, body, func() { cancel(nil) })
	}
	if err == nil && size >= 0 && wire.n != size {
		err = io.ErrUnexpectedEOF
	}
	var writeErr writeError
	switch {
	case err == nil:
		return d, nil
	case errors.As(err, &writeErr):
		return d, fmt.Errorf("webscraper: %s: write after %d bytes: %w", req.operation, d.Bytes, writeErr.error)
	case size >= 0:
		return d, fmt.Errorf("webscraper: %s: the body broke off after %d of %d bytes: %w", req.operation, wire.n, size, c.transportError(ctx, err))
	default:
		return d, fmt.Errorf("webscraper: %s: the body broke off after %d bytes: %w", req.operation, wire.n, c.transportError(ctx, err))
	}
}
