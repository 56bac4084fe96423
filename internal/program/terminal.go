package program

import "os"

// Terminal returns standard output if it is a terminal on which a person wants to see
// more than plain lines, else nil: NO_COLOR and TERM=dumb say otherwise.
func (s Streams) Terminal() *os.File {
	file, ok := s.Out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return nil
	}
	if _, err := TerminalWidth(file); err != nil {
		return nil
	}
	return file
}
