package activities

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/scrapehaul/scrapehaul/internal/filelock"
)

// Each process keeps a file in the spool locked. The kernel unlocks it when the process
// ends, however it ends; a suspended process, or one in another container, keeps its
// lock. Next to the lock is a file with the task token of each running attempt.
const (
	processPrefix = ".scrapehaul-process-"
	lockSuffix    = ".lock"
	attemptSuffix = ".attempt-"
)

const (
	// checkEndedEvery is how often a worker checks whether a process that shares its spool
	// has ended.
	checkEndedEvery = time.Second
	// reportWithin is how long Temporal has to respond to a report.
	reportWithin = 10 * time.Second
	// attemptsWithoutWait is how many attempts may end with their process before the retry
	// policy's waits apply: some imports kill every worker.
	attemptsWithoutWait = 10
)

// runningAttempt is an attempt in progress. Its token allows ending the attempt and
// nothing else.
type runningAttempt struct {
	TaskToken []byte `json:"task_token"`
	Attempt   int32  `json:"attempt"`
}

// noteAttempt makes other workers report the attempt if the process ends before ended is
// called. If that is not possible, Temporal waits for the heartbeat timeout.
func (s *Spool) noteAttempt(ctx context.Context) (ended func()) {
	info := activity.GetInfo(ctx)
	process := s.process()
	content, err := json.Marshal(runningAttempt{info.TaskToken, info.Attempt})
	if process == "" || err != nil || info.HeartbeatTimeout <= 0 {
		return func() {}
	}
	file, err := os.CreateTemp(s.dir, process+attemptSuffix+"*") // with mode 0600
	if err != nil {
		return func() {}
	}
	_, _ = file.Write(content) // incomplete files are not reported
	_ = file.Close()
	return func() {
		// The process ends soon, perhaps before Temporal has the attempt's result.
		if !errors.Is(context.Cause(ctx), worker.ErrWorkerShutdown) {
			_ = os.Remove(file.Name())
		}
	}
}

// lockProcess locks a file for this process and returns the name prefix of the process's
// files, "" on a file system without locks.
func (s *Spool) lockProcess() (name string) {
	// Until the file is locked, another worker may mistake it for one of an ended process.
	for range 3 {
		name := processPrefix + rand.Text()
		path := filepath.Join(s.dir, name+lockSuffix)
		lock, err := filelock.Try(path)
		if err != nil {
			_ = os.Remove(path)
			return ""
		}
		if lock == nil {
			continue
		}
		if second, _ := filelock.Try(path); second != nil { // some file systems grant every lock
			_ = errors.Join(second.Unlock(), lock.Unlock(), os.Remove(path))
			return ""
		}
		if _, err := os.Stat(path); err == nil {
			s.lock = lock
			return name
		}
		_ = lock.Unlock()
	}
	return ""
}

// ReportEndedAttempts reports attempts to Temporal whose process on the spool has ended,
// so that they are retried immediately instead of after the heartbeat timeout. It checks
// every second until ctx ends.
//
// If a reported attempt is still running, the fencing token keeps it from committing once
// the next one has started. That can happen if hosts share a network file system whose
// locks are local to each host, or run copies of one spool. A spool that was rolled back
// has stale task tokens, which Temporal refuses.
func (s *Spool) ReportEndedAttempts(ctx context.Context, c client.Client) {
	for ctx.Err() == nil {
		s.reportEnded(ctx, c)
		select {
		case <-ctx.Done():
		case <-time.After(checkEndedEvery):
		}
	}
}

func (s *Spool) reportEnded(ctx context.Context, c client.Client) {
	locks, _ := fs.Glob(os.DirFS(s.dir), processPrefix+"*"+lockSuffix)
	for _, lock := range locks {
		s.reportProcess(ctx, c, lock)
	}
}

// reportProcess reports the attempts of the process with that lock if it has ended, and
// removes its files. Reports without a response from Temporal are repeated.
func (s *Spool) reportProcess(ctx context.Context, c client.Client, name string) {
	lock, err := filelock.Try(filepath.Join(s.dir, name))
	if lock == nil || err != nil {
		return
	}
	attempts, _ := fs.Glob(os.DirFS(s.dir), strings.TrimSuffix(name, lockSuffix)+attemptSuffix+"*")
	answered := true
	for _, each := range attempts {
		path := filepath.Join(s.dir, each)
		if reportAttempt(ctx, c, path) {
			_ = os.Remove(path)
		} else {
			answered = false
		}
	}
	_ = lock.Unlock()
	if answered {
		_ = os.Remove(filepath.Join(s.dir, name))
	}
}

// reportAttempt reports the attempt in the file and returns whether that is done: Temporal
// has accepted the report, or refused it because the attempt is over already.
func reportAttempt(ctx context.Context, c client.Client, path string) bool {
	var ended runningAttempt
	content, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(content, &ended) != nil {
		return true // the host crashed too
	}
	options := temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign}
	if ended.Attempt < attemptsWithoutWait {
		options.NextRetryDelay = time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, reportWithin)
	defer cancel()
	// This keeps the last heartbeat.
	err = c.CompleteActivity(ctx, ended.TaskToken, nil, temporal.NewApplicationErrorWithOptions(errProcessEnded.Error(), errorWorkerStopping, options))
	return ctx.Err() == nil && !is[*serviceerror.Unavailable](err) && !is[*serviceerror.DeadlineExceeded](err) && !is[*serviceerror.ResourceExhausted](err)
}
