package archive

import (
	"cmp"
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

	"github.com/scrapehaul/scrapehaul/sink"
)

// headerMagic starts the frame with the File. It is one of the magic numbers of
// frames that zstd decoders skip.
const headerMagic = 0x184D2A5C

const (
	headerPrefix   = 8       // magic number and JSON size
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
		return nil, fmt.Errorf("the file's description has %d bytes, more than %d", len(described), maxHeaderBytes)
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
		return file, errors.New("it does not start with its description")
	}
	described := make([]byte, size)
	if _, err := io.ReadFull(from, described); err != nil {
		return file, err
	}
	if err := json.Unmarshal(described, &file); err != nil {
		return file, fmt.Errorf("decoding its description: %w", err)
	}
	return file, nil
}

// reader reads an archived file.
type reader struct {
	file    File // what the content must match
	key     string
	source  *source
	decoder *zstd.Decoder
	hash    hash.Hash
	read    int64
}

// OpenLatest opens the most recently requested file of the account's job. The content
// is nil if none is archived; otherwise it is the file as it was downloaded. Reading
// ends with [io.EOF] only if all of the file was read and matches what was archived.
// Any other error matches [ErrCorrupt] or says that the bucket cannot be read.
func (a *Archive) OpenLatest(ctx context.Context, account string, scrapingJobID int64) (file File, content io.ReadCloser, err error) {
	key, err := a.latest(ctx, account, scrapingJobID)
	if err != nil || key == "" {
		return File{}, nil, err
	}
	r, err := a.open(ctx, key)
	if err != nil {
		return File{}, nil, err
	}
	if of := r.file; of.ScrapingJobID != scrapingJobID || accountPrefix(of.Account) != accountPrefix(account) {
		return File{}, nil, errors.Join(r.failed(fmt.Errorf("it belongs to scraping job %d of account %q", of.ScrapingJobID, cmp.Or(of.Account, sink.DefaultAccount))), r.Close())
	}
	r.file.Job.Account = account // older files have none
	return r.file, r, nil
}

func (a *Archive) open(ctx context.Context, key string) (*reader, error) {
	from, err := a.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, redacted(fmt.Errorf("reading %s of the archive: %w", key, err))
	}
	r := &reader{key: key, source: &source{blob: from}, hash: sha256.New()}
	r.file, err = readHeader(r.source)
	if err == nil {
		r.decoder, err = zstd.NewReader(r.source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	}
	if err != nil {
		return nil, errors.Join(r.failed(err), from.Close())
	}
	return r, nil
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.decoder.Read(p)
	r.hash.Write(p[:n])
	r.read += int64(n)
	switch {
	case r.read > r.file.Bytes:
		return n, r.failed(fmt.Errorf("it has more than its %d bytes", r.file.Bytes))
	case errors.Is(err, io.EOF):
		if sum := hex.EncodeToString(r.hash.Sum(nil)); r.read != r.file.Bytes || sum != r.file.SHA256 {
			return n, r.failed(fmt.Errorf("it has %d bytes and SHA-256 %s, want %d and %s", r.read, sum, r.file.Bytes, r.file.SHA256))
		}
		return n, io.EOF
	case err != nil:
		return n, r.failed(err)
	}
	return n, nil
}

// failed returns the error of the bucket if reading it failed, ErrCorrupt otherwise.
func (r *reader) failed(err error) error {
	if r.source.err != nil {
		return redacted(fmt.Errorf("reading %s of the archive: %w", r.key, r.source.err))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it is cut off")
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, r.key, err)
}

func (r *reader) Close() error {
	r.decoder.Close()
	return r.source.blob.Close()
}

// source keeps the error of the bucket.
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
