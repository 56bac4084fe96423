package workflows

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/scrapehaul/scrapehaul/activities"
)

// Settings are the settings of an import. They are part of the workflow's input. The zero
// value of a field means its default.
type Settings struct {
	// HoldBeforeDelete is how long the job stays in the cloud after its verified import: a
	// duration like "24h", "0" for none, "never" to keep it forever. Default "24h".
	HoldBeforeDelete string `json:"hold_before_delete,omitempty"`
	// SourceFormat selects the job's export: "json" or "csv". Default "json".
	SourceFormat string `json:"source_format,omitempty"`
	// SourceRaw selects the export without the changes of the sitemap's parser.
	SourceRaw bool `json:"source_raw,omitempty"`
	// BatchRecords is the number of records per commit. Default 5000.
	BatchRecords int `json:"batch_records,omitempty"`
	// MaxRecordBytes is the size above which a record is rejected. Default 16777216
	// (16 MiB).
	MaxRecordBytes int `json:"max_record_bytes,omitempty"`
	// MaxRejected is how many records may be rejected, or have no row in a mapped table,
	// while the import still counts as complete. Default 0.
	MaxRejected int `json:"max_rejected,omitempty"`
	// MinRecordsPercent: a finished job with fewer records, in percent of the sitemap's
	// last published count, needs attention instead of being published. Default 0: any
	// number is published.
	MinRecordsPercent int `json:"min_records_percent,omitempty"`
	// RequireDataQuality: a job that fails the API's data quality check is published only
	// after an operator accepts it.
	RequireDataQuality bool `json:"require_data_quality,omitempty"`
	// AttentionTimeout is how long an import that needs attention waits for a signal before
	// it fails: a duration. Default "168h" (7 days).
	AttentionTimeout string `json:"attention_timeout,omitempty"`
	// WorkerGoneAfter is how long a step may wait for the worker that has the downloaded
	// file before the import restarts on another one: a duration. Default "5m".
	WorkerGoneAfter string `json:"worker_gone_after,omitempty"`
	// HeartbeatTimeout is how long a download or an import may go without a heartbeat
	// before another attempt starts: a duration. Default "30s".
	HeartbeatTimeout string `json:"heartbeat_timeout,omitempty"`
	// SearchAttributes is set if the namespace has those of [SearchAttributes], so that
	// imports set them. Temporal refuses to start a workflow with unregistered ones.
	SearchAttributes bool `json:"search_attributes,omitempty"`
	// AccountAttribute is set if the namespace has [AccountAttribute], too.
	AccountAttribute bool `json:"account_attribute,omitempty"`
	// Filter selects the jobs that are imported automatically. Re-imports ignore it.
	// Default: all jobs.
	Filter activities.Filter `json:"filter,omitzero"`
}

// UseSearchAttributes sets SearchAttributes and AccountAttribute, given the names that are
// missing in the namespace.
func (s *Settings) UseSearchAttributes(missing []string) {
	without := slices.Contains(missing, AccountAttribute.GetName())
	s.SearchAttributes = len(missing) == 0 || without && len(missing) == 1
	s.AccountAttribute = s.SearchAttributes && !without
}

// DefaultSettings returns the defaults of Settings.
func DefaultSettings() Settings {
	return Settings{
		HoldBeforeDelete: "24h",
		SourceFormat:     activities.FormatJSON,
		BatchRecords:     5000,
		MaxRecordBytes:   activities.DefaultMaxRecordBytes,
		AttentionTimeout: "168h",
		WorkerGoneAfter:  "5m",
		HeartbeatTimeout: "30s",
	}
}

// withDefaults returns s with zero values replaced by defaults.
func (s Settings) withDefaults() Settings {
	d := DefaultSettings()
	s.HoldBeforeDelete = cmp.Or(s.HoldBeforeDelete, d.HoldBeforeDelete)
	s.SourceFormat = cmp.Or(s.SourceFormat, d.SourceFormat)
	s.BatchRecords = cmp.Or(s.BatchRecords, d.BatchRecords)
	s.MaxRecordBytes = cmp.Or(s.MaxRecordBytes, d.MaxRecordBytes)
	s.AttentionTimeout = cmp.Or(s.AttentionTimeout, d.AttentionTimeout)
	s.WorkerGoneAfter = cmp.Or(s.WorkerGoneAfter, d.WorkerGoneAfter)
	s.HeartbeatTimeout = cmp.Or(s.HeartbeatTimeout, d.HeartbeatTimeout)
	return s
}

const (
	// NeverDelete is the HoldBeforeDelete that keeps the job in the cloud.
	NeverDelete = "never"
	// MaxBatchRecords and MaxMaxRecordBytes are upper limits of Settings.
	MaxBatchRecords   = 1_000_000
	MaxMaxRecordBytes = 128 << 20
)

// settings are validated Settings: defaults filled in, durations parsed.
type settings struct {
	Settings
	hold             time.Duration
	neverDelete      bool
	source           activities.Source
	attentionTimeout time.Duration
	workerGoneAfter  time.Duration
	heartbeatTimeout time.Duration
}

// Validate returns one error for each invalid setting, with its name, its value and what
// is expected.
func (s Settings) Validate() []error {
	_, problems := s.parse()
	return problems
}

func (s Settings) parse() (settings, []error) {
	var problems []error
	duration := func(name, value, byDefault string, least time.Duration) time.Duration {
		d, err := time.ParseDuration(value)
		if err != nil || d < least {
			problems = append(problems, fmt.Errorf("%s is %q: want a duration like %q, at least %s", name, value, byDefault, least))
		}
		return d
	}
	number := func(name string, value, least, most int) {
		if value < least || value > most {
			problems = append(problems, fmt.Errorf("%s is %d: want a number from %d to %d", name, value, least, most))
		}
	}
	s, defaults := s.withDefaults(), DefaultSettings()
	in := settings{Settings: s, neverDelete: s.HoldBeforeDelete == NeverDelete}
	if !in.neverDelete {
		in.hold = duration("hold_before_delete", s.HoldBeforeDelete, defaults.HoldBeforeDelete, 0)
	}
	in.source.Raw = s.SourceRaw
	switch s.SourceFormat {
	case activities.FormatJSON:
	case activities.FormatCSV:
		in.source.Format = activities.FormatCSV
	default:
		problems = append(problems, fmt.Errorf("source_format is %q: want %q or %q", s.SourceFormat, activities.FormatJSON, activities.FormatCSV))
	}
	number("batch_records", s.BatchRecords, 1, MaxBatchRecords)
	number("max_record_bytes", s.MaxRecordBytes, 1, MaxMaxRecordBytes)
	number("max_rejected", s.MaxRejected, 0, math.MaxInt)
	number("min_records_percent", s.MinRecordsPercent, 0, 100)
	in.attentionTimeout = duration("attention_timeout", s.AttentionTimeout, defaults.AttentionTimeout, time.Second)
	in.workerGoneAfter = duration("worker_gone_after", s.WorkerGoneAfter, defaults.WorkerGoneAfter, time.Second)
	problems = append(problems, s.Filter.Validate()...)
	in.heartbeatTimeout = duration("heartbeat_timeout", s.HeartbeatTimeout, defaults.HeartbeatTimeout, time.Second)
	return in, problems
}
