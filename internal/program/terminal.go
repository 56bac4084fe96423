package program

import (
	"os"

	"golang.org/x/term"
)

// Terminal returns standard output if it is a terminal on which a person wants to see
// more than plain lines, else nil: NO_COLOR and TERM=dumb say otherwise.
func (s Streams) Terminal() *os.File {
	file, ok := s.Out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return file
}
