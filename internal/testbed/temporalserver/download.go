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

// maxProgramBytes is far more than the program has: 150 MB.
const maxProgramBytes = 1 << 30

// downloads is where Temporal offers the releases of its CLI. It is asked as the
// SDK asks it in testsuite.StartDevServer, which cannot do for us: it waits for
// an answer as long as the operating system does, takes an archive without its
// end, and downloads nothing without starting a server.
type downloads struct {
	url string
	// answerWithin is how long nothing may arrive, neither an answer nor more of
	// the archive.
	answerWithin time.Duration
	// wholeWithin is how long all of it may take.
	wholeWithin time.Duration
}

// newDownloads takes no longer than a build would.
func newDownloads() downloads {
	return downloads{url: "https://temporal.download", answerWithin: 5 * time.Second, wholeWithin: 3 * time.Minute}
}

// patient is for machines that have no other way to the CLI.
func (d downloads) patient() downloads {
	d.answerWithin, d.wholeWithin = time.Minute, 10*time.Minute
	return d
}

// program downloads the CLI of cliVersion for this machine into the file target,
// and leaves no file there unless it is whole and runs.
func (d downloads) program(ctx context.Context, target string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.wholeWithin, fmt.Errorf("it takes longer than %s", d.wholeWithin))
	defer cancel()
	ctx, arrived, stop := whileSomethingArrives(ctx, d.answerWithin)
	defer stop()
	err := d.extract(ctx, arrived, target)
	if err == nil {
		stop() // what is left is up to this machine
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

// whileSomethingArrives returns a context that ends once arrived has not been
// called for that long. stop ends the watch, and not the context.
func whileSomethingArrives(ctx context.Context, limit time.Duration) (_ context.Context, arrived, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := time.AfterFunc(limit, func() { cancel(fmt.Errorf("nothing has arrived for %s", limit)) })
	return ctx, func() { watch.Reset(limit) }, func() { watch.Stop() }
}

// release is what temporal.download says of one.
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
		return fmt.Errorf("reading what release there is: %w", err)
	}
	archiveURL, err := url.Parse(offered.ArchiveURL)
	if err != nil || archiveURL.Scheme != base.Scheme || !strings.HasSuffix(archiveURL.Path, ".tar.gz") {
		return fmt.Errorf("the release's archive is %q: want an URL of %s that ends in .tar.gz", offered.ArchiveURL, base.Scheme)
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

// get returns the body of what is at the URL. All that comes is reported to
// arrived.
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

// extractFile writes the archive's file of that name to target. It reads the
// archive to its end, where its checksum is.
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
		return errors.Join(errors.New("the archive has no end"), err)
	}
	if !found {
		return errors.New("it is not in there")
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
