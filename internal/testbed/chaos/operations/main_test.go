package operations

import (
	"os"
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
)

func TestMain(m *testing.M) { os.Exit(chaos.Run(m)) }
