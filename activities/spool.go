package activities

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/diskspace"
	"github.com/scrapehaul/scrapehaul/internal/filelock"
)

// spoolNameFile contains the spool's name. It outlives the worker process: a worker that
// restarts on the same folder gets the tasks for the files there.
const spoolNameFile = ".scrapehaul-spool"

// Spool is the folder that keeps downloaded files until they are imported.
// Several workers on one host may share it.
type Spool struct {
	dir     string
	name    string
	minFree int64

	// process returns the name prefix of this process's files; the first call locks it,
	// see lockProcess. lock is held until the process ends.
	process func() string
	lock    *filelock.Lock

	mu sync.Mutex
	// written has the SHA-256 of the complete files that this process has written. They
	// are not synced to disk, but only a host crash can change them, and that also ends
	// this process.
	written map[string]string
}

// maxWritten limits the entries of files that other processes have removed.
const maxWritten = 10_000

// OpenSpool opens the folder and creates it if necessary. Downloads leave minFree bytes of
// its file system free.
func OpenSpool(dir string, minFree int64) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("preparing the spool folder: %w", err)
	}
	// A full disk is no error: importing what is in the spool frees it.
	if err := trySpool(dir); err != nil && !diskspace.IsFull(err) {
		return nil, fmt.Errorf("the file system of SPOOL_DIR %s cannot keep downloads: %w: choose a folder on another one", dir, err)
	}
	name, err := spoolName(filepath.Join(dir, spoolNameFile))
	if err != nil {
		return nil, fmt.Errorf("naming the spool folder %s: %w", dir, err)
	}
	s := &Spool{dir: dir, name: name, minFree: minFree, written: map[string]string{}}
	s.process = sync.OnceValue(s.lockProcess)
	return s, nil
}

// trySpool tries the file operations of downloads and imports in the folder, as network
// and FUSE file systems lack some of them. Hard links and locks are not needed.
func trySpool(dir string) error {
	const content = "complete"
	var names []string
	defer func() {
		for _, name := range names {
			_ = os.Remove(name)
		}
	}()
	for range 2 {
		file, err := os.CreateTemp(dir, ".scrapehaul-trial-*")
		if err != nil {
			return fmt.Errorf("creating a file: %w", err)
		}
		names = append(names, file.Name())
		_, writing := file.WriteString("the beginning of a download")
		emptying := file.Truncate(0)
		_, again := file.WriteAt([]byte(content), 0)
		if err := errors.Join(writing, emptying, again, file.Close()); err != nil {
			return fmt.Errorf("writing, truncating and rewriting a file: %w", err)
		}
	}
	if err := os.Rename(names[0], names[1]); err != nil {
		return fmt.Errorf("renaming a file over another one: %w", err)
	}
	read, err := os.ReadFile(names[1])
	if err != nil {
		return fmt.Errorf("reading a file: %w", err)
	}
	if string(read) != content {
		return fmt.Errorf("reading a file: it has %q, but %q was written", read, content)
	}
	if err := os.Remove(names[1]); err != nil {
		return fmt.Errorf("removing a file: %w", err)
	}
	return nil
}

// TaskQueue returns the spool's worker-specific task queue, given the one that all workers
// poll. It stays the same as long as the folder exists.
func (s *Spool) TaskQueue(taskQueue string) string { return taskQueue + spoolSeparator + s.name }

const spoolSeparator = "@"

// nameWithin is how long the worker that creates the name file has to write the name.
const nameWithin = 5 * time.Second

// spoolName reads the name from the file or creates one. If several workers start
// concurrently, one creates the file and the others wait for the name in it. If that worker
// was killed before writing it, they write one themselves; the first line counts.
func spoolName(path string) (string, error) {
	host, err := os.Hostname()
	if err != nil {
		return "", err
	}
	line := host + "-" + strings.ToLower(rand.Text()[:8]) + "\n"
	err = writeLine(path, line, os.O_CREATE|os.O_EXCL)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	name, err := readLine(path, time.Now().Add(nameWithin))
	if err == nil && name == "" {
		if err = writeLine(path, line, os.O_APPEND); err == nil {
			name, err = readLine(path, time.Now())
		}
	}
	if err == nil && name == "" {
		err = fmt.Errorf("%s stays empty after writing to it: choose a folder on another file system", path)
	}
	return name, err
}

// readLine waits for the first line of the file until the deadline; "" if there is none.
func readLine(path string, deadline time.Time) (string, error) {
	for ; ; time.Sleep(10 * time.Millisecond) {
		content, err := os.ReadFile(path)
		if line, _, complete := strings.Cut(string(content), "\n"); complete && line != "" || err != nil || time.Now().After(deadline) {
			return line, err
		}
	}
}

// writeLine writes the line to the file. If there is no room, the file stays empty.
func writeLine(path, line string, flag int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	return errors.Join(err, file.Close())
}

// path returns the path of the file with that name. Names come from Temporal and must not
// lead out of the folder.
func (s *Spool) path(name string) (string, error) {
	if !filepath.IsLocal(name) || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("%q is not the name of a spool file", name)
	}
	return filepath.Join(s.dir, name), nil
}

// finish renames the file from its temporary name to its final one.
func (s *Spool) finish(temporary, name, sha256 string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(temporary, path); err != nil {
		return spoolError{err}
	}
	if len(s.written) >= maxWritten {
		clear(s.written)
	}
	s.written[name] = sha256
	return nil
}

// wrote reports whether this process was the last to write the file with that name, with
// that content. Call it after opening the file.
func (s *Spool) wrote(name, sha256 string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written[name] == sha256
}

// remove removes the file and its partial downloads.
func (s *Spool) remove(name string) error {
	if _, err := s.path(name); err != nil {
		return err
	}
	escaped := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
	leftovers, err := fs.Glob(os.DirFS(s.dir), escaped+partialSuffix+"*")
	if err != nil {
		return spoolError{err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.written, name)
	var problems []error
	for _, each := range append(leftovers, name) {
		if err := os.Remove(filepath.Join(s.dir, each)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, spoolError{err})
		}
	}
	return errors.Join(problems...)
}

// hasRoom reports whether a download may start.
func (s *Spool) hasRoom() bool { return !errors.Is(s.checkFree(0), errDiskFull) }

// checkFree returns errDiskFull if writing that many more bytes would leave less than
// minFree.
func (s *Spool) checkFree(bytes int64) error {
	free, _, err := diskspace.Of(s.dir)
	if err != nil {
		return spoolError{err}
	}
	if free-bytes < s.minFree {
		return spoolError{fmt.Errorf("%w: %s has %d bytes free, %d more are to be written and %d must stay free (SPOOL_MIN_FREE)",
			errDiskFull, s.dir, free, bytes, s.minFree)}
	}
	return nil
}
