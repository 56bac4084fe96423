//go:build unix

package program

import (
	"os"

	"golang.org/x/sys/unix"
)

// TerminalWidth returns the terminal's width in columns. It fails if the file is not a
// terminal.
func TerminalWidth(file *os.File) (columns int, err error) {
	size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, err
	}
	return int(size.Col), nil
}

func understandsEscapes(*os.File) bool { return true }
