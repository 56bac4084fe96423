package activities

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// backgroundHash is the SHA-256 of what is written to it, computed beside the
// writer, which goes on to the file meanwhile.
type backgroundHash struct {
	hash hash.Hash
	// free and full are the buffers, which together are all of them.
	free, full chan []byte
	running    sync.WaitGroup
}

const hashBuffers = 4

// newBackgroundHash starts one, which has to be stopped.
func newBackgroundHash() *backgroundHash {
	h := &backgroundHash{hash: sha256.New(), free: make(chan []byte, hashBuffers), full: make(chan []byte, hashBuffers)}
	for range hashBuffers {
		h.free <- nil
	}
	h.running.Go(func() {
		for buffer := range h.full {
			h.hash.Write(buffer)
			h.free <- buffer
		}
	})
	return h
}

// write takes b, copying it.
func (h *backgroundHash) write(b []byte) {
	buffer := <-h.free
	h.full <- append(buffer[:0], b...)
}

// reset begins anew.
func (h *backgroundHash) reset() { h.whenDone(h.hash.Reset) }

// sum is what has been written up to now, in lower-case hexadecimal.
func (h *backgroundHash) sum() (sum string) {
	h.whenDone(func() { sum = hex.EncodeToString(h.hash.Sum(nil)) })
	return sum
}

// whenDone has all buffers to itself when nothing is left to be hashed.
func (h *backgroundHash) whenDone(do func()) {
	var buffers [hashBuffers][]byte
	for i := range buffers {
		buffers[i] = <-h.free
	}
	do()
	for _, buffer := range buffers {
		h.free <- buffer
	}
}

func (h *backgroundHash) stop() {
	close(h.full)
	h.running.Wait()
}
