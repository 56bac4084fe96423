package archive

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
	"gocloud.dev/blob"
)

// headerMagic begins the frame with the File: one of those that decoders of zstd
// skip.
const headerMagic = 0x184D2A5C

const (
	headerPrefix   = 8       // the magic number and the size of what follows
	maxHeaderBytes = 1 << 16 // of the JSON
	// maxWindow is more than our encoder needs.
	maxWindow = 64 << 20
)

func headerFrame(file File) ([]byte, error) {
	described, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	if len(described) > maxHeaderBytes {
		return nil, fmt.Errorf("the description of the file has %d bytes, more than %d", len(described), maxHeaderBytes)
	}
	frame := binary.LittleEndian.AppendUint32(nil, headerMagic)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(described)))
	return append(frame, described...), nil
}

func readHeader(from io.Reader) (file File, err error) {
	var frame [headerPrefix]byte
	if _, err := io.ReadFull(from, frame[:]); err != nil {
		return file, err
	}
	size := binary.LittleEndian.Uint32(frame[4:])
	if binary.LittleEndian.Uint32(frame[:]) != headerMagic || size > maxHeaderBytes {
		return file, errors.New("it does not begin with its description")
	}
	described := make([]byte, size)
	if _, err := io.ReadFull(from, described); err != nil {
		return file, err
	}
	if err := json.Unmarshal(described, &file); err != nil {
		return file, fmt.Errorf("its description: %w", err)
	}
	return file, nil
}

// Reader reads a file of the archive. It is not safe for concurrent use.
type Reader struct {
	// File is what the file has to be.
	File File

	key     string
	source  *source
	decoder *zstd.Decoder
	hash    hash.Hash
	read    int64
}

// Open opens the file with the key that Latest has returned. The error matches
// ErrCorrupt when it is not a file of the archive any more.
func (a *Archive) Open(ctx context.Context, key string) (*Reader, error) {
	reader, err := a.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, redacted(fmt.Errorf("reading %s of the archive: %w", key, err))
	}
	r := &Reader{key: key, source: &source{blob: reader}, hash: sha256.New()}
	r.File, err = readHeader(r.source)
	if err == nil {
		r.decoder, err = zstd.NewReader(r.source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	}
	if err != nil {
		return nil, errors.Join(r.failed(err), reader.Close())
	}
	return r, nil
}

// Read reads the file as it was downloaded. It ends with io.EOF only after all of
// it was read and is what was archived; otherwise with an error that matches
// ErrCorrupt, or says that the bucket cannot be read.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.decoder.Read(p)
	r.hash.Write(p[:n])
	r.read += int64(n)
	switch {
	case r.read > r.File.Bytes:
		return n, r.failed(fmt.Errorf("it has more than its %d bytes", r.File.Bytes))
	case errors.Is(err, io.EOF):
		if sum := hex.EncodeToString(r.hash.Sum(nil)); r.read != r.File.Bytes || sum != r.File.SHA256 {
			return n, r.failed(fmt.Errorf("it has %d bytes and SHA-256 %s, want %d and %s", r.read, sum, r.File.Bytes, r.File.SHA256))
		}
		return n, io.EOF
	case err != nil:
		return n, r.failed(err)
	}
	return n, nil
}

// failed tells a bucket that cannot be read from a blob that is corrupt.
func (r *Reader) failed(err error) error {
	if r.source.err != nil {
		return redacted(fmt.Errorf("reading %s of the archive: %w", r.key, r.source.err))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it is cut off")
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, r.key, err)
}

// Close ends the reading.
func (r *Reader) Close() error {
	r.decoder.Close()
	return r.source.blob.Close()
}

// source remembers why the bucket could not be read.
type source struct {
	blob *blob.Reader
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.blob.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
