package scrapehaul_test

import (
	"testing"

	"github.com/scrapehaul/scrapehaul/internal/systemtest"
)

func TestMain(m *testing.M) { systemtest.Main(m) }
