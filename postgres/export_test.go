package postgres

import (
	"fmt"
	"time"

	"github.com/scrapehaul/scrapehaul/sink"
)

// SetPatience sets how long a failed batch waits for the previous ones.
func SetPatience(of sink.Import, patience time.Duration) { of.(*attempt).patience = patience }

// SetPiece sets how many records one statement merges into a mapped table.
func SetPiece(of sink.Import, records int64) { of.(*attempt).mapped.piece = records }

// RemovalOfRecords removes the next $3 records of import $1 after record $2.
var RemovalOfRecords = fmt.Sprintf(deleteRecordsBatch, "scrapehaul.import_records")
