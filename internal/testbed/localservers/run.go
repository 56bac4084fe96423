package localservers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Run has use start servers, and stops them when it returns. Dir is a temporary folder with
// their log, which is removed then, unless use has failed by itself: the error says where
// the log is. Progress writes to told, with the seconds since the beginning.
func Run(ctx context.Context, name string, told io.Writer, use func(*Servers) error) (err error) {
	dir, err := os.MkdirTemp("", "scrapehaul-"+name+"-")
	if err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	begun := time.Now()
	s := &Servers{Dir: dir, LogPath: logFile.Name(), Log: logFile, Progress: func(text string) {
		fmt.Fprintf(told, "%6.1fs  %s\n", time.Since(begun).Seconds(), text)
	}}
	defer func() {
		err = errors.Join(err, s.Stop(), logFile.Close())
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w\nthe logs are in %s", err, s.LogPath)
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	return use(s)
}
