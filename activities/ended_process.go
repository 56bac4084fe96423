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

// Each process keeps a file of the spool locked, as the kernel unlocks it when the
// process ends, however it does: a stopped one, or one in another container, has its
// lock. Beside it lies a file for each attempt under way, with its task token.
const (
	processPrefix = ".scrapehaul-process-"
	lockSuffix    = ".lock"
	attemptSuffix = ".attempt-"
)

const (
	// lookForEndedEvery is how often a worker looks whether a process has ended that
	// shared its spool.
	lookForEndedEvery = time.Second
	// reportWithin is how long Temporal has to answer a report.
	reportWithin = 10 * time.Second
	// attemptsAtOnce is how many attempts may end with their process until the retry
	// policy's waits come between them: some imports kill every worker.
	attemptsAtOnce = 10
)

// runningAttempt is an attempt under way. Its token lets whoever reaches Temporal end
// the attempt, and nothing else.
type runningAttempt struct {
	TaskToken []byte `json:"task_token"`
	Attempt   int32  `json:"attempt"`
}

// noteAttempt has the attempt reported if the process ends before ended is called.
// Where that is not possible, Temporal waits for its heartbeat.
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
	_, _ = file.Write(content) // what is not whole is not reported
	_ = file.Close()
	return func() {
		// The process ends soon, perhaps before Temporal has the attempt's answer.
		if !errors.Is(context.Cause(ctx), worker.ErrWorkerShutdown) {
			_ = os.Remove(file.Name())
		}
	}
}

// lockProcess returns the beginning of the names of this process' files, or "" on a
// file system without locks.
func (s *Spool) lockProcess() (name string) {
	// Before it is locked, another worker may take it for that of a process that has ended.
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
		if second, _ := filelock.Try(path); second != nil { // there are locks that everybody gets
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

// ReportEndedAttempts tells Temporal which attempts have ended with a process on the
// spool, whose heartbeats it would wait for, now and whenever one has ended, until ctx
// does. They are retried at once.
//
// Should one be reported that goes on all the same, it commits nothing more once the
// next one has begun: the fencing token sees to that. It can happen where hosts share a
// network file system with locks of each host's own, or run copies of one spool. A spool
// that was rolled back has stale tokens, which Temporal refuses.
func (s *Spool) ReportEndedAttempts(ctx context.Context, c client.Client) {
	for ctx.Err() == nil {
		s.reportEnded(ctx, c)
		select {
		case <-ctx.Done():
		case <-time.After(lookForEndedEvery):
		}
	}
}

func (s *Spool) reportEnded(ctx context.Context, c client.Client) {
	locks, _ := fs.Glob(os.DirFS(s.dir), processPrefix+"*"+lockSuffix)
	for _, lock := range locks {
		s.reportProcess(ctx, c, lock)
	}
}

// reportProcess reports the attempts of the process with that lock, if it has ended,
// and removes its files. What Temporal does not answer is reported again.
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

// reportAttempt returns whether there is nothing more to report: Temporal has taken the
// report, or refuses it, as it does when it has given the attempt up already.
func reportAttempt(ctx context.Context, c client.Client, path string) bool {
	var ended runningAttempt
	content, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(content, &ended) != nil {
		return true // the host has crashed, too
	}
	options := temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign}
	if ended.Attempt < attemptsAtOnce {
		options.NextRetryDelay = time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, reportWithin)
	defer cancel()
	// The last heartbeat stays what it is.
	err = c.CompleteActivity(ctx, ended.TaskToken, nil, temporal.NewApplicationErrorWithOptions(errProcessEnded.Error(), errorWorkerStopping, options))
	return ctx.Err() == nil && !is[*serviceerror.Unavailable](err) && !is[*serviceerror.DeadlineExceeded](err) && !is[*serviceerror.ResourceExhausted](err)
}
