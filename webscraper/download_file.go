package webscraper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// maxResumes is how often a broken download to a file is continued.
const maxResumes = 3

// DownloadScrapingJobFile downloads the records of a scraping job to the file
// at path, readable by its owner only (mode 0600). The file appears, or is
// replaced, once the download is complete and on the disk; whatever fails
// before, a file that was there stays as it is. Until then the data is in a
// file of the same folder named .<name>.<random>.tmp, which only the death of
// the process can leave behind.
//
// A download that breaks off once the server has begun to send it is continued,
// up to 3 times: from where it broke if the server says that the file is still
// the same, from the beginning otherwise. OnHeader is called each time; Offset and
// Validator have no effect. See [Client.DownloadScrapingJob] for errors and for
// the file of a job that has not ended.
func (c *Client) DownloadScrapingJobFile(ctx context.Context, id int64, path string, format Format, opts DownloadOptions) (Download, error) {
	var d Download
	err := replaceFile(path, func(file *os.File) (err error) {
		d, err = c.downloadResuming(ctx, id, file, format, opts)
		return err
	})
	if err != nil {
		return Download{}, err
	}
	return d, nil
}

// downloadResuming downloads to file, and continues a download that breaks off.
func (c *Client) downloadResuming(ctx context.Context, id int64, file *os.File, format Format, opts DownloadOptions) (Download, error) {
	var have Download // what the file holds
	begun := false
	// What the server does not continue begins anew.
	onHeader := opts.OnHeader
	opts.OnHeader = func(d Download, length int64) error {
		if onHeader != nil {
			if err := onHeader(d, length); err != nil {
				return err
			}
		}
		begun = true
		have = Download{Bytes: d.Offset, Validator: d.Validator}
		if err := file.Truncate(d.Offset); err != nil {
			return err
		}
		_, err := file.Seek(d.Offset, io.SeekStart)
		return err
	}
	for n := 0; ; n++ {
		opts.Offset, opts.Validator = have.Bytes, have.Validator
		d, err := c.DownloadScrapingJob(ctx, id, file, format, opts)
		have.Bytes += d.Bytes
		if err == nil {
			return have, nil
		}
		if !begun || n == maxResumes || !interrupted(err) || ctx.Err() != nil {
			return Download{}, err
		}
		// What is sent uncompressed can be continued, should it break again.
		opts.Uncompressed = true
		wait := time.Second << n
		c.logger.InfoContext(ctx, "continuing a broken download from Web Scraper Cloud", "scrapingjob_id", id, "format", format,
			"bytes", have.Bytes, "wait", wait, "error", err)
		if sleepErr := sleep(ctx, wait); sleepErr != nil {
			return Download{}, fmt.Errorf("%w (gave up continuing: %w)", err, sleepErr)
		}
	}
}

// interrupted reports whether err is one of the connection, or of a server that
// is down for a moment, rather than a refusal.
func interrupted(err error) bool {
	var apiErr *Error
	if errors.As(err, &apiErr) {
		return apiErr.StatusCode >= http.StatusInternalServerError
	}
	return errors.As(err, new(connectionError))
}

// replaceFile puts what write writes in the place of the file at path, all of it
// or nothing.
func replaceFile(path string, write func(*os.File) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "." // CreateTemp would take the system's folder for temporary files
	}
	file, err := os.CreateTemp(dir, "."+name+".*.tmp")
	if err != nil {
		return fmt.Errorf("webscraper: create a temporary file for %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(file.Name())
		}
	}()
	if err := write(file); err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("webscraper: save %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("webscraper: save %s: %w", path, err)
	}
	// The new name is on the disk once the folder is. Not every system can do
	// that, and the file is complete either way.
	if folder, err := os.Open(dir); err == nil {
		_ = folder.Sync()
		folder.Close()
	}
	return nil
}
