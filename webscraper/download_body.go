package webscraper

import (
	"io"
	"sync"
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
	// aheadBytes is how much of a body is read ahead of its writer at most.
	aheadBytes = 2 << 20
	// copyBytes is how much is read or written at a time at most. It makes system
	// calls, and waits for each other, few enough for a server that is as near and
	// as fast as the disk.
	copyBytes = 1 << 20
)

// copyBody copies r to w until the end of r. It reads, and decompresses, while w
// writes. After an error of w, which is a [writeError], stop has to end a Read of
// r that waits.
func copyBody(w io.Writer, r io.Reader, stop func()) (written int64, err error) {
	a := &ahead{ring: make([]byte, aheadBytes)}
	a.changed.L = &a.mu
	var reading sync.WaitGroup
	reading.Go(func() { a.fill(r) })
	defer a.took(0, io.ErrClosedPipe) // a writer that panics leaves no reader behind
	for {
		data, err := a.data()
		if data == nil {
			return written, err
		}
		n, err := w.Write(data)
		written += int64(n)
		if err == nil && n != len(data) {
			err = io.ErrShortWrite
		}
		a.took(n, err)
		if err != nil {
			stop()
			reading.Wait()
			return written, writeError{err}
		}
	}
}

// ahead is what has been read of a body and not been written yet.
type ahead struct {
	mu      sync.Mutex
	changed sync.Cond
	ring    []byte
	// begin and end count from the body's beginning.
	begin, end int64
	ended      bool  // nothing comes after end
	readErr    error // why, unless it is the body's end
	writeErr   error
}

// fill reads r to its end, or until there is an error of the writer.
func (a *ahead) fill(r io.Reader) {
	for {
		space := a.space()
		if space == nil {
			return
		}
		n, err := r.Read(space)
		ended := err != nil
		if err == io.EOF {
			err = nil
		}
		a.mu.Lock()
		a.end, a.ended, a.readErr = a.end+int64(n), ended, err
		a.mu.Unlock()
		a.changed.Signal()
		if ended {
			return
		}
	}
}

// space waits for room in the ring; there is none after an error of the writer.
func (a *ahead) space() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.end-a.begin == aheadBytes && a.writeErr == nil {
		a.changed.Wait()
	}
	if a.writeErr != nil {
		return nil
	}
	at := a.end % aheadBytes
	return a.ring[at:min(at+copyBytes, at+aheadBytes-(a.end-a.begin), aheadBytes)]
}

// data waits for what has been read. After all of it there is none, and the error
// is that of the reader.
func (a *ahead) data() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.begin == a.end && !a.ended {
		a.changed.Wait()
	}
	if a.begin == a.end {
		return nil, a.readErr
	}
	at := a.begin % aheadBytes
	return a.ring[at:min(at+copyBytes, at+a.end-a.begin, aheadBytes)], nil
}

func (a *ahead) took(n int, err error) {
	a.mu.Lock()
	a.begin, a.writeErr = a.begin+int64(n), err
	a.mu.Unlock()
	a.changed.Signal()
}

// writeError marks an error of the writer that a download goes to.
type writeError struct{ error }
