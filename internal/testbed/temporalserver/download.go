package temporalserver

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
)

// maxProgramBytes is far more than the program's 150 MB.
const maxProgramBytes = 1 << 30

// downloads is Temporal's server for releases of its CLI. The requests are those of the
// SDK's testsuite.StartDevServer, which does not work here: it has no timeout of its own,
// accepts a truncated archive, and cannot download without starting a server.
type downloads struct {
	url string
	// idleTimeout bounds how long nothing may arrive.
	idleTimeout time.Duration
	// timeout bounds the complete download.
	timeout time.Duration
}

// newDownloads returns downloads that take no longer than a build.
func newDownloads() downloads {
	return downloads{url: "https://temporal.download", idleTimeout: 5 * time.Second, timeout: 3 * time.Minute}
}

// patient returns downloads with longer timeouts, for machines that cannot build the CLI.
func (d downloads) patient() downloads {
	d.idleTimeout, d.timeout = time.Minute, 10*time.Minute
	return d
}

// program downloads the CLI of cliVersion for this machine into the file target. It leaves
// no file there unless it is complete and runs.
func (d downloads) program(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("it takes longer than %s", d.timeout))
	defer cancel()
	ctx, arrived, stop := whileSomethingArrives(ctx, d.idleTimeout)
	defer stop()
	err := d.extract(ctx, arrived, target)
	if err == nil {
		stop() // the rest does not use the network
		err = knowsOurFlags(ctx, target)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("downloading the Temporal CLI from %s: %w", d.url, errors.Join(err, removeIfExists(target)))
	}
	return nil
}

// whileSomethingArrives returns a context that ends when arrived has not been called for
// limit. stop ends the watch, not the context.
func whileSomethingArrives(ctx context.Context, limit time.Duration) (_ context.Context, arrived, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(limit, func() { cancel(fmt.Errorf("nothing arrived for %s", limit)) })
	return ctx, func() { watch.Reset(limit) }, func() { watch.Stop() }
}

// release is temporal.download's description of a release.
type release struct {
	ArchiveURL    string `json:"archiveUrl"`
	FileToExtract string `json:"fileToExtract"`
}

func (d downloads) extract(ctx context.Context, arrived func(), target string) error {
	base, err := url.Parse(d.url)
	if err != nil {
		return err
	}
	info, err := get(ctx, base.JoinPath("cli", cliVersion).String()+"?"+url.Values{
		"platform": {runtime.GOOS}, "arch": {runtime.GOARCH}, "sdk-name": {"sdk-go"}, "sdk-version": {temporal.SDKVersion},
	}.Encode(), arrived)
	if err != nil {
		return err
	}
	defer info.Close()
	var offered release
	if err := json.NewDecoder(info).Decode(&offered); err != nil {
		return fmt.Errorf("reading the release: %w", err)
	}
	archiveURL, err := url.Parse(offered.ArchiveURL)
	if err != nil || archiveURL.Scheme != base.Scheme || !strings.HasSuffix(archiveURL.Path, ".tar.gz") {
		return fmt.Errorf("the release's archive is %q: want a URL with %s that ends in .tar.gz", offered.ArchiveURL, base.Scheme)
	}
	archive, err := get(ctx, archiveURL.String(), arrived)
	if err != nil {
		return err
	}
	defer archive.Close()
	if err := extractFile(archive, offered.FileToExtract, target); err != nil {
		return fmt.Errorf("extracting %q from %s: %w", offered.FileToExtract, archiveURL.Redacted(), err)
	}
	return nil
}

// get returns the body at the URL. It calls arrived whenever something arrives.
func get(ctx context.Context, from string, arrived func()) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("GET %s: %s", from, response.Status), response.Body.Close())
	}
	arrived()
	return &watchedBody{ReadCloser: response.Body, arrived: arrived}, nil
}

type watchedBody struct {
	io.ReadCloser
	arrived func()
}

func (b *watchedBody) Read(p []byte) (n int, err error) {
	n, err = b.ReadCloser.Read(p)
	if n > 0 {
		b.arrived()
	}
	return n, err
}

// extractFile writes the archive's file of that name to target. It reads the archive to its
// end, which has the checksum.
func extractFile(archive io.Reader, name, target string) error {
	unzipped, err := gzip.NewReader(archive)
	if err != nil {
		return err
	}
	found := false
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if header.Name != name || header.Typeflag != tar.TypeReg {
			continue
		}
		if header.Size > maxProgramBytes {
			return fmt.Errorf("it has %d bytes", header.Size)
		}
		if err := writeProgram(files, header.Size, target); err != nil {
			return err
		}
		found = true
	}
	if _, err := io.CopyN(io.Discard, unzipped, maxProgramBytes); !errors.Is(err, io.EOF) {
		return errors.Join(errors.New("the archive is truncated or too large"), err)
	}
	if !found {
		return errors.New("not in the archive")
	}
	return nil
}

func writeProgram(from io.Reader, size int64, target string) error {
	file, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o700) //nolint:gosec // a program is executed
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, from, size)
	return errors.Join(err, file.Close())
}
