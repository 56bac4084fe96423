package webscraper

import (
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

const (
	// copyBytes is how much is read or written at a time at most.
	copyBytes = 64 << 10
	// aheadPieces is how many reads of a body come before their writes at most: so many
	// that a server that is as near and as fast as the disk seldom waits.
	aheadPieces = 32
)

// copyBody copies r to w until the end of r. It reads, and decompresses, while w
// writes, and holds nothing back that has come. After an error of w, which is a
// [writeError], stop has to end a Read of r that waits.
func copyBody(w io.Writer, r io.Reader, stop func()) (written int64, err error) {
	pieces, free := make(chan []byte, aheadPieces), make(chan []byte, aheadPieces)
	for range aheadPieces {
		free <- nil // made when it is needed: most files are small
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
				pieces <- buffer[:n] // for which there is room
			}
			if readErr != nil {
				return
			}
		}
	}()
	defer close(free) // a writer that panics leaves no reader behind
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

// writeError marks an error of the writer that a download goes to.
type writeError struct{ error }
