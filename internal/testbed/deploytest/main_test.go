package deploytest

import (
	"flag"
	"os"
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := systemtest.Run(m)
	if programDir != "" {
		_ = os.RemoveAll(programDir)
	}
	os.Exit(code)
}
