package program

import (
	"os"

	"golang.org/x/sys/windows"
)

// TerminalWidth returns the terminal's width in columns. It fails if the file is not a
// terminal.
func TerminalWidth(file *os.File) (columns int, err error) {
	var screen windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(file.Fd()), &screen); err != nil {
		return 0, err
	}
	return int(screen.Window.Right-screen.Window.Left) + 1, nil
}
