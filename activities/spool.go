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

// spoolNameFile holds the spool's name. It outlives the worker's process, so
// that a worker that comes back on the same folder is asked for the files that
// lie there.
const spoolNameFile = ".scrapehaul-spool"

// Spool is the folder that keeps downloaded files until they are imported.
// Several workers on one host may share it.
type Spool struct {
	dir     string
	name    string
	minFree int64

	// process is the beginning of the names of this process' files, made with the
	// first one; see lockProcess. lock is held as long as the process lives.
	process func() string
	lock    *filelock.Lock

	mu sync.Mutex
	// written has the SHA-256 of the whole files that this process has written.
	// While it runs they are as it wrote them, though nothing waits until they are
	// on the disk; a crash of the host, after which they may not be, ends it.
	written map[string]string
}

// maxWritten bounds what is kept of files that other processes have removed.
const maxWritten = 10_000

// OpenSpool prepares the folder, making it if need be. minFree is how many
// bytes of its file system downloads leave free.
func OpenSpool(dir string, minFree int64) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("preparing the spool folder: %w", err)
	}
	// A full disk is emptied by importing what is in the spool.
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

// trySpool does once in the folder what downloads and imports do with files: network
// and FUSE file systems lack some of it. Hard links and locks are not needed.
func trySpool(dir string) error {
	const content = "whole"
	var names []string
	defer func() {
		for _, name := range names {
			_ = os.Remove(name)
		}
	}()
	for range 2 {
		file, err := os.CreateTemp(dir, ".scrapehaul-trial-*")
		if err != nil {
			return fmt.Errorf("making a file: %w", err)
		}
		names = append(names, file.Name())
		_, writing := file.WriteString("the beginning of a download")
		emptying := file.Truncate(0)
		_, again := file.WriteAt([]byte(content), 0)
		if err := errors.Join(writing, emptying, again, file.Close()); err != nil {
			return fmt.Errorf("writing a file, emptying it and writing it anew: %w", err)
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
		return fmt.Errorf("reading a file: it has %q, and %q was written", read, content)
	}
	if err := os.Remove(names[1]); err != nil {
		return fmt.Errorf("removing a file: %w", err)
	}
	return nil
}

// TaskQueue is the worker-specific task queue of the spool, beside the one that all
// workers listen on. It stays the same as long as the folder does.
func (s *Spool) TaskQueue(taskQueue string) string { return taskQueue + spoolSeparator + s.name }

const spoolSeparator = "@"

// nameWithin is how long the worker that makes the file with the name has for
// writing it.
const nameWithin = 5 * time.Second

// spoolName reads the name from the file or gives one. Of several workers that
// start at the same time one makes the file; the others wait for what it writes, and
// write a name themselves if it has not, because it was killed. The first one counts.
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
		err = fmt.Errorf("%s stays empty, whatever is written into it: choose a folder on another file system", path)
	}
	return name, err
}

// readLine waits for the first line of the file until the deadline; "" if there is none.
func readLine(path string, deadline time.Time) (string, error) {
	for ; ; time.Sleep(10 * time.Millisecond) {
		content, err := os.ReadFile(path)
		if line, _, whole := strings.Cut(string(content), "\n"); whole && line != "" || err != nil || time.Now().After(deadline) {
			return line, err
		}
	}
}

// writeLine leaves an empty file if there is no room for the line.
func writeLine(path, line string, flag int) error {
	file, err := os.OpenFile(path, os.O_WRONLY|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line)
	return errors.Join(err, file.Close())
}

// path returns where the file of that name lies. Names come back from Temporal
// and must not lead out of the folder.
func (s *Spool) path(name string) (string, error) {
	if !filepath.IsLocal(name) || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("%q is not the name of a spool file", name)
	}
	return filepath.Join(s.dir, name), nil
}

// finish gives the file that has been written under a temporary name its own.
func (s *Spool) finish(temporary, name, sha256 string) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	if len(s.written) >= maxWritten {
		clear(s.written)
	}
	s.written[name] = sha256
	return nil
}

// wrote says whether this process has written the file of that name, last, with
// that content. To be asked once the file is open.
func (s *Spool) wrote(name, sha256 string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.written[name] == sha256
}

// remove removes the file and what broken downloads of it have left.
func (s *Spool) remove(name string) error {
	if _, err := s.path(name); err != nil {
		return err
	}
	escaped := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(name)
	leftovers, err := fs.Glob(os.DirFS(s.dir), escaped+partialSuffix+"*")
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.written, name)
	var problems []error
	for _, each := range append(leftovers, name) {
		if err := os.Remove(filepath.Join(s.dir, each)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// hasRoom reports whether a download may begin.
func (s *Spool) hasRoom() bool { return !errors.Is(s.checkFree(0), errDiskFull) }

// checkFree returns errDiskFull when writing that many more bytes would leave
// less than minFree.
func (s *Spool) checkFree(bytes int64) error {
	free, _, err := diskspace.Of(s.dir)
	if err != nil {
		return err
	}
	if free-bytes < s.minFree {
		return fmt.Errorf("%w: %s has %d bytes free, %d more are to be written and %d have to stay free (SPOOL_MIN_FREE)",
			errDiskFull, s.dir, free, bytes, s.minFree)
	}
	return nil
}
