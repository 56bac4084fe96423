package program

import "os"

// Terminal returns standard output if it is a terminal, unless NO_COLOR or TERM=dumb asks
// for plain lines; otherwise nil.
func (s Streams) Terminal() *os.File {
	file, ok := s.Out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return nil
	}
	if _, err := TerminalWidth(file); err != nil || !understandsEscapes(file) {
		return nil
	}
	return file
}
