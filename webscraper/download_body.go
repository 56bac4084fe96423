package webscraper

import (
	"compress/gzip"
	"errors"
	"io"
	"time"
)

// idleReader counts the bytes of r, and lets timer run whenever it waits for
// the next.
type idleReader struct {
	r       io.Reader
	n       int64
	timer   *time.Timer
	timeout time.Duration
}

func (r *idleReader) Read(p []byte) (int, error) {
	r.timer.Reset(r.timeout)
	n, err := r.r.Read(p)
	r.timer.Stop()
	r.n += int64(n)
	return n, err
}

// gzipReader decompresses wire. It reads the gzip header at the first Read
// only, so that OnHeader is called before any waiting for the body.
type gzipReader struct {
	wire  io.Reader
	empty bool // a body that was announced as empty is an empty file
	zr    *gzip.Reader
}

func (r *gzipReader) Read(p []byte) (int, error) {
	if r.empty {
		return 0, io.EOF
	}
	if r.zr == nil {
		zr, err := gzip.NewReader(r.wire)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		r.zr = zr
	}
	return r.zr.Read(p)
}

// copyBufferBytes makes system calls few enough for a server that is as near and
// as fast as the disk.
const copyBufferBytes = 512 << 10

// copyBody copies r to w until the end of r. An error of w is a [writeError].
func copyBody(w io.Writer, r io.Reader) (written int64, err error) {
	buf := make([]byte, copyBufferBytes)
	for {
		n, readErr := r.Read(buf)
		if n > 0 {
			m, err := w.Write(buf[:n])
			written += int64(m)
			if err == nil && m < n {
				err = io.ErrShortWrite
			}
			if err != nil {
				return written, writeError{err}
			}
		}
		if readErr == io.EOF {
			return written, nil
		}
		if readErr != nil {
			return written, readErr
		}
	}
}

// writeError marks an error of the writer that a download goes to.
type writeError struct{ error }
