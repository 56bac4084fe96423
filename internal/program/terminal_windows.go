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

// understandsEscapes has the console interpret escape sequences, which older ones print unless asked.
func understandsEscapes(file *os.File) bool {
	console, mode := windows.Handle(file.Fd()), uint32(0)
	return windows.GetConsoleMode(console, &mode) == nil &&
		windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
