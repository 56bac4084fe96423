package webscraper

import (
	"io"
	"time"
)

// idleReader counts the bytes of r and runs timer while it waits for the next.
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

const (
	// copyBytes bounds a single read or write.
	copyBytes = 64 << 10
	// aheadPieces bounds how far reads run ahead of writes: far enough that a server
	// as close and as fast as the disk rarely waits.
	aheadPieces = 32
)

// copyBody copies r to w until the end of r. It reads, and decompresses, while w
// writes, and holds back nothing it has read. An error of w is a [writeError]; then
// stop must end a pending Read of r.
func copyBody(w io.Writer, r io.Reader, stop func()) (written int64, err error) {
	pieces, free := make(chan []byte, aheadPieces), make(chan []byte, aheadPieces)
	for range aheadPieces {
		free <- nil // allocated on demand: most files are small
	}
	var readErr error // when pieces is closed
	go func() {
		defer close(pieces)
		for buffer := range free {
			if buffer == nil {
				buffer = make([]byte, copyBytes)
			}
			var n int
			for n == 0 && readErr == nil {
				n, readErr = r.Read(buffer)
			}
			if n > 0 {
				pieces <- buffer[:n] // never blocks
			}
			if readErr != nil {
				return
			}
		}
	}()
	defer close(free) // stops the reader, even if w panics
	for piece := range pieces {
		n, err := w.Write(piece)
		written += int64(n)
		if err == nil && n != len(piece) {
			err = io.ErrShortWrite
		}
		if err != nil {
			stop()
			return written, writeError{err}
		}
		free <- piece[:copyBytes]
	}
	if readErr == io.EOF {
		readErr = nil
	}
	return written, readErr
}

// writeError is an error of the writer that a download goes to.
type writeError struct{ error }
