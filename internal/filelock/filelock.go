// Package filelock locks files between processes: the kernel gives the lock back when
// its process ends, however it does.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// lookEvery is how often one who waits for a lock tries to get it.
const lookEvery = 200 * time.Millisecond

// Lock is a lock that was taken.
type Lock struct{ file *os.File }

// Try takes the lock of a file, which it creates if need be. It returns nil if somebody
// else holds the lock, in this process too.
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

// Wait is [Try] until the lock is free. waiting, if set, is called once if it is not.
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
		case <-time.After(lookEvery):
		}
	}
}

// Unlock gives the lock back. The file stays.
func (l *Lock) Unlock() error { return l.file.Close() }
