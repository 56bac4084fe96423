package scrapehaul_test

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/testbed/systemtest"
)

func TestMain(m *testing.M) { systemtest.Main(m) }
