// Package filelock locks files between processes. The kernel releases a lock when its
// process ends, however it ends.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// retryEvery is how often Wait tries to take the lock.
const retryEvery = 200 * time.Millisecond

// Lock is a lock that is held.
type Lock struct{ file *os.File }

// Try takes the lock of a file, which it creates if it is missing. It returns nil if the
// lock is held, even by this process.
func Try(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	locked, err := tryLock(file)
	if locked {
		return &Lock{file}, nil
	}
	if err != nil {
		err = fmt.Errorf("locking %s: %w", path, err)
	}
	return nil, errors.Join(err, file.Close())
}

// Wait takes the lock as soon as it is free, and calls waiting, if set, once before it
// waits.
func Wait(ctx context.Context, path string, waiting func()) (*Lock, error) {
	for {
		lock, err := Try(path)
		if lock != nil || err != nil {
			return lock, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(retryEvery):
		}
	}
}

// Unlock releases the lock. The file stays.
func (l *Lock) Unlock() error { return l.file.Close() }
