package deploytest

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/systemtest"
)

func TestMain(m *testing.M) { systemtest.Main(m) }
