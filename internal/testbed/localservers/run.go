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

// Run calls use, which starts servers, and stops them when it returns. Dir is a temporary
// folder with their log. It is removed at the end, unless use failed by itself: then the
// error has the path of the log. Progress goes to output, with the seconds since the start.
func Run(ctx context.Context, name string, output io.Writer, use func(*Servers) error) (err error) {
	dir, err := os.MkdirTemp("", "scrapehaul-"+name+"-")
	if err != nil {
		return err
	}
	logFile, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	started := time.Now()
	s := &Servers{Dir: dir, LogPath: logFile.Name(), Log: logFile, Progress: func(text string) {
		fmt.Fprintf(output, "%6.1fs  %s\n", time.Since(started).Seconds(), text)
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
