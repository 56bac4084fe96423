// Package childprocess runs a server as a child process that never outlives the program
// that started it, even if that program is killed with SIGKILL. It supports Linux and
// macOS, but not Windows.
//
// A child has its own process group: Ctrl-C in a terminal goes to the whole foreground
// group, and a server must survive it until the program has shut down in order and calls
// [Process.Stop].
package childprocess

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Command says which program to run and how to end it.
type Command struct {
	Path string   // the program's file
	Args []string // its arguments, without the program's name
	Env  []string // as in exec.Cmd: nil means this process's environment
	Dir  string   // its working directory; empty means this process's

	// Credential is the account to run as; nil means ours. Only root can choose.
	Credential *syscall.Credential
	// Log receives the child's standard output and error; nil discards them.
	Log io.Writer

	// StopSignal asks the child to end; if it still runs after StopTimeout, it is
	// killed with its process group. Zero values mean SIGTERM and 10 seconds.
	StopSignal  syscall.Signal
	StopTimeout time.Duration
	// OrphanSignal ends the child after this process has died; zero means SIGKILL.
	OrphanSignal syscall.Signal
	// RemoveWhenOrphaned is a file or folder to remove after that; empty means none.
	RemoveWhenOrphaned string
}

// Process is a running child.
type Process struct {
	command Command
	child   *exec.Cmd
	log     tail

	guard     *exec.Cmd
	guardPipe *os.File // the guard sleeps while its writing end is open

	done chan struct{} // closed after the child has ended and was reaped
	err  error         // how it ended; read after done

	stop    sync.Once
	stopErr error
}

// register, run first in the child, sends the child's process ID to the guard before it
// becomes the program. So the program never runs unguarded.
const register = `echo $$ >&3; exec "$@" 3>&-`

// guard waits until the other end of its standard input closes, which the kernel does
// however this process dies, and then ends the child and its group.
const guard = `
read -r child || exit 0
read -r _
kill "-$1" "$child"
tries=0
while kill -0 "$child" && [ $tries -lt 50 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
kill -KILL -"$child"
[ -z "$2" ] || rm -rf -- "$2"
`

// Start runs the command. The error names the program; a program that starts and ends
// immediately is not an error here, see [Process.Done].
func Start(command Command) (*Process, error) {
	if command.StopSignal == 0 {
		command.StopSignal = syscall.SIGTERM
	}
	if command.StopTimeout == 0 {
		command.StopTimeout = 10 * time.Second
	}
	if command.OrphanSignal == 0 {
		command.OrphanSignal = syscall.SIGKILL
	}
	p := &Process{command: command, done: make(chan struct{})}
	if err := p.startGuard(); err != nil {
		return nil, fmt.Errorf("starting the guard of %s: %w", command.Path, err)
	}
	if err := p.startChild(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", command.Path, err), p.dismissGuard())
	}
	go p.wait()
	return p, nil
}

func (p *Process) startGuard() error {
	reading, writing, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reading.Close()
	p.guardPipe = writing
	p.guard = exec.Command("/bin/sh", "-c", guard, "guard",
		strconv.Itoa(int(p.command.OrphanSignal)), p.command.RemoveWhenOrphaned)
	p.guard.Stdin = reading
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.guard.Start(); err != nil {
		return errors.Join(err, writing.Close())
	}
	return nil
}

func (p *Process) startChild() error {
	p.child = exec.Command("/bin/sh", append([]string{"-c", register, "register", p.command.Path}, p.command.Args...)...)
	p.child.Env = p.command.Env
	p.child.Dir = p.command.Dir
	p.child.ExtraFiles = []*os.File{p.guardPipe}
	p.child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.command.Credential}
	var output io.Writer = &p.log
	if p.command.Log != nil {
		output = io.MultiWriter(p.command.Log, &p.log)
	}
	p.child.Stdout, p.child.Stderr = output, output
	// A grandchild may keep the output open after the child has ended.
	p.child.WaitDelay = time.Second
	return p.child.Start()
}

// dismissGuard ends the guard before it acts: after the child is reaped, its process ID may
// be reused.
func (p *Process) dismissGuard() error {
	err := p.guard.Process.Kill()
	_ = p.guard.Wait() // reports that we killed it
	return errors.Join(err, p.guardPipe.Close())
}

func (p *Process) wait() {
	defer close(p.done)
	err := p.child.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	p.err = errors.Join(err, p.dismissGuard())
}

// PID returns the child's process ID, which may be reused after Done.
func (p *Process) PID() int { return p.child.Process.Pid }

// Done returns a channel that is closed when the child has ended, for any reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the child to end. It returns nil for exit status 0, otherwise an error with
// the status or signal and the end of the child's output.
func (p *Process) Wait() error {
	<-p.done
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w; last output:\n%s", filepath.Base(p.command.Path), p.err, &p.log)
}

// EndedByItself returns the error for a server that ended without being asked to, whatever
// its exit status. Call it after Done.
func (p *Process) EndedByItself() error {
	if err := p.Wait(); err != nil {
		return fmt.Errorf("ended by itself: %w", err)
	}
	return fmt.Errorf("ended by itself: %s: exit status 0; last output:\n%s", filepath.Base(p.command.Path), &p.log)
}

// Stop asks the child to end, kills it after StopTimeout, and returns when it is gone. It
// fails if the child had ended before or was killed. Further calls return the same error.
func (p *Process) Stop() error {
	p.stop.Do(func() { p.stopErr = p.stopChild() })
	return p.stopErr
}

func (p *Process) stopChild() error {
	select {
	case <-p.done:
		return p.EndedByItself()
	default:
	}
	if err := p.child.Process.Signal(p.command.StopSignal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", p.command.Path, err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(p.command.StopTimeout):
	}
	err := fmt.Errorf("%s did not stop within %s and was killed", p.command.Path, p.command.StopTimeout)
	group := -p.child.Process.Pid
	if killErr := syscall.Kill(group, syscall.SIGKILL); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
		return errors.Join(err, killErr)
	}
	<-p.done
	return err
}
