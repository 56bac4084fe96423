package postgres

import (
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// SetPatience sets how long a batch that has failed waits for those before it.
func SetPatience(of sink.Import, patience time.Duration) { of.(*attempt).patience = patience }
