package program

import (
	"os"

	"golang.org/x/term"
)

// Terminal says whether standard output is a terminal on which a person wants to
// see more than plain lines: NO_COLOR and TERM=dumb say otherwise.
func (s Streams) Terminal() bool {
	file, ok := s.Out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
