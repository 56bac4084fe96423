package postgres

import (
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// SetPatience sets how long a batch that has failed waits for those before it.
func SetPatience(of sink.Import, patience time.Duration) { of.(*attempt).patience = patience }

// SetPiece sets how many records become rows of a mapped table with one statement.
func SetPiece(of sink.Import, records int64) { of.(*attempt).mapped.piece = records }

// RemovalOfRecords removes records $3 at a time, of import $1 those after record $2.
var RemovalOfRecords = fmt.Sprintf(deleteRecordsBatch, "scrapehaul.import_records")
