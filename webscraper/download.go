package webscraper

import (
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

// The formats that Web Scraper Cloud offers: JSON Lines, CSV and an Excel
// workbook.
const (
	FormatJSON Format = "json"
	FormatCSV  Format = "csv"
	FormatXLSX Format = "xlsx"
)

// Download tells what a download wrote. Beside an error it tells how far the
// download came.
type Download struct {
	// Offset is the position in the file of the first byte written: that of
	// [ResumeFrom] if the server continued there, otherwise 0.
	Offset int64
	// Bytes is how many bytes were written, uncompressed.
	Bytes int64
	// Validator identifies this content of the file for [ResumeFrom]; empty if
	// the server gave nothing that identifies it.
	Validator string
}

// DownloadHeader is what is known of a download before its first byte.
type DownloadHeader struct {
	// Offset and Validator are those of [Download]. A writer that already holds
	// the beginning of the file must drop it when Offset is 0.
	Offset    int64
	Validator string
	// ContentLength is how many bytes will be written, or -1 if the server does
	// not say, as with a compressed download.
	ContentLength int64
}

// DownloadOption changes one download.
type DownloadOption func(*downloadOptions)

type downloadOptions struct {
	raw          bool
	uncompressed bool
	onHeader     []func(DownloadHeader) error
	offset       int64
	validator    string
}

// Raw downloads the records as they were scraped, without the changes of the
// sitemap's parser.
func Raw() DownloadOption {
	return func(o *downloadOptions) { o.raw = true }
}

// Uncompressed asks the server not to compress the download. It is larger on
// the wire, but its length is usually known, see [DownloadHeader], and it
// usually has a [Download.Validator].
func Uncompressed() DownloadOption {
	return func(o *downloadOptions) { o.uncompressed = true }
}

// OnHeader calls f when the server has begun its answer and before the first
// byte is written, for example to see whether the file fits on the disk. An
// error of f ends the download and is wrapped in its error.
func OnHeader(f func(DownloadHeader) error) DownloadOption {
	return func(o *downloadOptions) { o.onHeader = append(o.onHeader, f) }
}

// ResumeFrom continues a download that broke: it asks for the file from its
// byte offset on, under the condition that the file is still the one that
// [Download.Validator] came from. If it is not, or the server cannot tell, the
// whole file is sent again, and [DownloadHeader.Offset] is 0.
func ResumeFrom(offset int64, validator string) DownloadOption {
	return func(o *downloadOptions) { o.offset, o.validator = offset, validator }
}

// DownloadScrapingJobJSON writes the records of a scraping job to w as JSON
// Lines, one object a line. It holds a small part of the file in memory. A body
// that ends early is an error that wraps [io.ErrUnexpectedEOF]; a server that
// falls silent is one that matches [context.DeadlineExceeded].
//
// The file of a job that has not ended is empty or incomplete, and its download
// succeeds all the same: look at the job's Status and StoredRecordCount.
func (c *Client) DownloadScrapingJobJSON(ctx context.Context, id int64, w io.Writer, opts ...DownloadOption) (Download, error) {
	return c.download(ctx, id, FormatJSON, w, opts)
}

// DownloadScrapingJobCSV is [Client.DownloadScrapingJobJSON] for CSV.
func (c *Client) DownloadScrapingJobCSV(ctx context.Context, id int64, w io.Writer, opts ...DownloadOption) (Download, error) {
	return c.download(ctx, id, FormatCSV, w, opts)
}

// DownloadScrapingJobXLSX is [Client.DownloadScrapingJobJSON] for an Excel
// workbook.
func (c *Client) DownloadScrapingJobXLSX(ctx context.Context, id int64, w io.Writer, opts ...DownloadOption) (Download, error) {
	return c.download(ctx, id, FormatXLSX, w, opts)
}

func (c *Client) download(ctx context.Context, id int64, format Format, w io.Writer, opts []DownloadOption) (Download, error) {
	var o downloadOptions
	for _, opt := range opts {
		opt(&o)
	}
	req := request{
		operation: fmt.Sprintf("download scraping job %d as %s", id, format),
		method:    http.MethodGet,
		path:      fmt.Sprintf("scraping-job/%d/%s", id, format),
	}
	if o.raw {
		req.query = url.Values{"raw": {"true"}}
	}
	var d Download
	err := c.withBackoff(ctx, req.operation, func() (err error) {
		d, err = c.downloadOnce(ctx, req, w, o)
		if errors.Is(err, errNotResumable) {
			o.offset = 0
			d, err = c.downloadOnce(ctx, req, w, o)
		}
		return err
	})
	return d, err
}

func (c *Client) downloadOnce(ctx context.Context, req request, w io.Writer, o downloadOptions) (Download, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(c.idleTimeout, func() {
		cancel(timeoutError(fmt.Sprintf("the server sent nothing for %v", c.idleTimeout)))
	})
	defer silence.Stop()
	req.header = o.requestHeader()
	resp, err := c.roundTrip(ctx, req)
	silence.Stop()
	if err != nil {
		return Download{}, err
	}
	defer resp.Body.Close()
	wire := &idleReader{r: resp.Body, timer: silence, timeout: c.idleTimeout}

	header, err := o.answerHeader(resp)
	if errors.Is(err, errUnexpectedStatus) {
		err = c.answerError(req, resp, wire)
	}
	if err != nil {
		return Download{}, err
	}
	size := header.ContentLength // on the wire
	body := io.Reader(wire)
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		header.ContentLength = -1
		body = &gzipReader{wire: wire, empty: size == 0}
	default:
		return Download{}, fmt.Errorf("webscraper: %s: the answer has the Content-Encoding %q, which was not asked for", req.operation, c.shorten(encoding, 100))
	}
	d := Download{Offset: header.Offset, Validator: header.Validator}
	for _, f := range o.onHeader {
		if err := f(header); err != nil {
			return d, fmt.Errorf("webscraper: %s: %w", req.operation, err)
		}
	}

	d.Bytes, err = copyBody(w, body, func() { cancel(nil) })
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
