// This program downloads PostgreSQL. It is a nested module, so that nobody who embeds
// scrapehaul gets its dependencies. It is compiled only if no PostgreSQL is installed.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: download CACHE FOLDER")
		os.Exit(2)
	}
	if err := download(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// download unpacks PostgreSQL into a folder, from the cache or the network.
func download(cache, folder string) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return err
	}
	server := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		CachePath(cache).
		BinariesPath(folder).
		RuntimePath(filepath.Join(filepath.Dir(folder), "unused")).
		Port(uint32(port)).
		Logger(io.Discard))
	// There is no call for the download alone. The start then fails for root, as
	// PostgreSQL does not run as root.
	startErr := server.Start()
	if startErr == nil {
		return server.Stop()
	}
	if _, err := exec.LookPath(filepath.Join(folder, "bin", "postgres")); err != nil {
		return errors.Join(startErr, err)
	}
	return nil
}
