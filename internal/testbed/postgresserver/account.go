package postgresserver

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// accountForRoot returns the account that runs PostgreSQL for root, or nil if this process
// is not root's.
func accountForRoot() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		return credential(account)
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no account postgres or nobody to run it: " +
		"install PostgreSQL, or set DATABASE_URL to a running server")
}

func credential(account *user.User) (*syscall.Credential, error) {
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user ID of %s: %w", account.Username, err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("group ID of %s: %w", account.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// giveTo makes the account the owner of a file.
func giveTo(account *syscall.Credential, path string) error {
	if account == nil {
		return nil
	}
	return os.Chown(path, int(account.Uid), int(account.Gid))
}

// makeDir creates a folder that only the account and root can use.
func makeDir(account *syscall.Credential, parent string) (string, error) {
	if account != nil && !reachableByAll(parent) {
		// For example a TMPDIR below root's home.
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "scrapehaul-postgres-")
	if err != nil {
		return "", err
	}
	if err := giveTo(account, dir); err != nil {
		return "", errors.Join(err, os.Remove(dir))
	}
	return dir, nil
}

// reachableByAll reports whether every account can enter the folder.
func reachableByAll(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}
