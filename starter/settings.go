package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/activities"
	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/internal/validate"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// importFlags are settings that the reconciliation schedule stores for all starters of the
// namespace. A nil setting was given neither as a flag nor as a variable: the schedule's
// value stays in force.
type importFlags struct {
	TaskQueue          *string `env:"TASK_QUEUE" placeholder:"NAME" help:"Task queue of the workers. Default: the schedule's, or ${task_queue}."`
	HoldBeforeDelete   *string `env:"HOLD_BEFORE_DELETE" placeholder:"DURATION" help:"How long a job stays in the cloud after its verified import: a duration, 0 to delete it immediately, or never to keep it. Default: the schedule's, or ${hold}."`
	SourceFormat       *string `env:"SOURCE_FORMAT" placeholder:"FORMAT" help:"Export format to import: json or csv. Default: the schedule's, or ${source_format}."`
	SourceRaw          *string `env:"SOURCE_RAW" placeholder:"BOOL" help:"Import the export without the sitemap parser's changes: true or false. Default: the schedule's, or false."`
	BatchRecords       *string `env:"BATCH_RECORDS" placeholder:"N" help:"Records per commit. Default: the schedule's, or ${batch_records}."`
	MaxRecordBytes     *string `env:"MAX_RECORD_BYTES" placeholder:"BYTES" help:"Reject records larger than this. Default: the schedule's, or ${max_record_bytes}."`
	MaxRejected        *string `env:"MAX_REJECTED" placeholder:"N" help:"How many records may be rejected or lack a row in the mapped table before an import counts as incomplete. Default: the schedule's, or 0."`
	MinRecordsPercent  *string `env:"MIN_RECORDS_PERCENT" placeholder:"N" help:"Ask before publishing a finished job with fewer records than this percentage of the sitemap's last published count; at 0, only before publishing one without any good record. Default: the schedule's, or 0."`
	RequireDataQuality *string `env:"REQUIRE_DATA_QUALITY" placeholder:"BOOL" help:"Ask before publishing a job that fails the API's data quality check: true or false. Default: the schedule's, or false."`
	AttentionTimeout   *string `env:"ATTENTION_TIMEOUT" placeholder:"DURATION" help:"How long an import that needs attention waits for a signal before it fails. Default: the schedule's, or ${attention_timeout}."`
	WorkerGoneAfter    *string `env:"WORKER_GONE_AFTER" placeholder:"DURATION" help:"How long a step waits for the worker that has the file before another worker starts over. Default: the schedule's, or ${worker_gone_after}."`
	HeartbeatTimeout   *string `env:"HEARTBEAT_TIMEOUT" placeholder:"DURATION" help:"How long a download or an import may go without a heartbeat before another attempt takes over. Default: the schedule's, or ${heartbeat_timeout}."`
}

func (f *importFlags) taskQueue() string {
	return *cmp.Or(f.TaskQueue, new(workflows.DefaultTaskQueue))
}

// filterFlags say which jobs are imported automatically.
type filterFlags struct {
	SitemapPrefix *string `name:"filter-sitemap-prefix" env:"FILTER_SITEMAP_PREFIX" placeholder:"PREFIX" help:"Import only jobs of sitemaps whose name has this prefix. To override a filter for an account, append ;ACCOUNT=VALUE."`
	Tag           *string `name:"filter-tag" env:"FILTER_TAG" placeholder:"TAG" help:"Import only jobs of sitemaps with this tag."`
	Statuses      *string `name:"filter-statuses" env:"FILTER_STATUSES" placeholder:"STATUS,…" help:"Import only jobs that ended with one of these statuses: finished, stopped, failed. Default: all that ended."`
}

// scheduleFlags say how often the reconciliation runs.
type scheduleFlags struct {
	ReconcileEvery *string `env:"RECONCILE_EVERY" placeholder:"DURATION" help:"How often to check for jobs that no notification reported; 0 for never. Default: the schedule's, or ${reconcile_every}."`
}

// given are the settings given explicitly, by variable name.
type given map[string]string

// givenBy collects the given settings from flags of the types above.
func givenBy(flags ...any) given {
	g := given{}
	for _, each := range flags {
		group := reflect.ValueOf(each)
		for i := range group.NumField() {
			if text, _ := group.Field(i).Interface().(*string); text != nil {
				g[group.Type().Field(i).Tag.Get("env")] = *text
			}
		}
	}
	return g
}

type setting struct {
	name string
	text func(*workflows.Installation) string
	set  func(*workflows.Installation, *program.Settings, string)
}

// importSettings are all settings, in the order in which they are printed.
var importSettings = []setting{
	of("TASK_QUEUE", taskQueue, func(i *workflows.Installation) *string { return &i.TaskQueue }),
	of("RECONCILE_EVERY", interval, func(i *workflows.Installation) *time.Duration { return &i.Every }),
	of("HOLD_BEFORE_DELETE", hold, func(i *workflows.Installation) *string { return &i.Settings.HoldBeforeDelete }),
	ofFilter("FILTER_SITEMAP_PREFIX", anything, func(f *activities.Filter) *string { return &f.SitemapNamePrefix },
		func(f *activities.AccountFilter) **string { return &f.SitemapNamePrefix }),
	ofFilter("FILTER_TAG", anything, func(f *activities.Filter) *string { return &f.Tag },
		func(f *activities.AccountFilter) **string { return &f.Tag }),
	ofFilter("FILTER_STATUSES", statuses, func(f *activities.Filter) *[]string { return &f.Statuses },
		func(f *activities.AccountFilter) **[]string { return &f.Statuses }),
	of("SOURCE_FORMAT", format, func(i *workflows.Installation) *string { return &i.Settings.SourceFormat }),
	of("SOURCE_RAW", (*program.Settings).Bool, func(i *workflows.Installation) *bool { return &i.Settings.SourceRaw }),
	of("BATCH_RECORDS", number(1, workflows.MaxBatchRecords), func(i *workflows.Installation) *int { return &i.Settings.BatchRecords }),
	of("MAX_RECORD_BYTES", number(1, workflows.MaxMaxRecordBytes), func(i *workflows.Installation) *int { return &i.Settings.MaxRecordBytes }),
	of("MAX_REJECTED", number(0, math.MaxInt), func(i *workflows.Installation) *int { return &i.Settings.MaxRejected }),
	of("MIN_RECORDS_PERCENT", number(0, 100), func(i *workflows.Installation) *int { return &i.Settings.MinRecordsPercent }),
	of("REQUIRE_DATA_QUALITY", (*program.Settings).Bool, func(i *workflows.Installation) *bool { return &i.Settings.RequireDataQuality }),
	of("ATTENTION_TIMEOUT", timeout, func(i *workflows.Installation) *string { return &i.Settings.AttentionTimeout }),
	of("WORKER_GONE_AFTER", timeout, func(i *workflows.Installation) *string { return &i.Settings.WorkerGoneAfter }),
	of("HEARTBEAT_TIMEOUT", timeout, func(i *workflows.Installation) *string { return &i.Settings.HeartbeatTimeout }),
}

func of[T any](name string, parse func(s *program.Settings, name, text string) T, at func(*workflows.Installation) *T) setting {
	return setting{
		name: name,
		text: func(i *workflows.Installation) string { return valueText(*at(i)) },
		set:  func(i *workflows.Installation, s *program.Settings, text string) { *at(i) = parse(s, name, text) },
	}
}

func valueText(value any) string {
	switch value := value.(type) {
	case time.Duration:
		return program.ShortDuration(value)
	case []string:
		return strings.Join(value, ",")
	}
	return fmt.Sprint(value)
}

// ofFilter is a filter setting: a value for all accounts, followed by ;ACCOUNT=VALUE for
// each account that differs.
func ofFilter[T any](
	name string, parse func(s *program.Settings, name, text string) T,
	all func(*activities.Filter) *T, one func(*activities.AccountFilter) **T,
) setting {
	return setting{
		name: name,
		text: func(i *workflows.Installation) string {
			text := valueText(*all(&i.Settings.Filter))
			for _, account := range slices.Sorted(maps.Keys(i.Settings.Filter.Accounts)) {
				other := i.Settings.Filter.Accounts[account]
				if value := *one(&other); value != nil {
					text += ";" + account + "=" + valueText(*value)
				}
			}
			return text
		},
		set: func(i *workflows.Installation, s *program.Settings, text string) {
			filter := &i.Settings.Filter
			accounts := map[string]activities.AccountFilter{}
			for account, other := range filter.Accounts {
				*one(&other) = nil
				accounts[account] = other
			}
			texts := strings.Split(text, ";")
			*all(filter) = parse(s, name, texts[0])
			for _, each := range texts[1:] {
				account, text, ok := strings.Cut(strings.TrimSpace(each), "=")
				other := accounts[account]
				if !ok || validate.Account(name, account) != nil || *one(&other) != nil {
					s.Problem("%s has %.60q after a semicolon: want ACCOUNT=VALUE, once per account", name, each)
					continue
				}
				*one(&other) = new(parse(s, name, text))
				accounts[account] = other
			}
			maps.DeleteFunc(accounts, func(_ string, f activities.AccountFilter) bool { return f == activities.AccountFilter{} })
			filter.Accounts = nil
			if len(accounts) > 0 {
				filter.Accounts = accounts
			}
		},
	}
}

func taskQueue(s *program.Settings, name, text string) string {
	s.Required(name, text, "the same as the workers'")
	return text
}

func anything(_ *program.Settings, _, text string) string { return text }

func hold(s *program.Settings, name, text string) string {
	if text == workflows.NeverDelete {
		return text
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		s.Problem("%s is %q: want a duration like 24h, 0, or never", name, text)
	}
	return program.ShortDuration(d)
}

func format(s *program.Settings, name, text string) string {
	if text != activities.FormatJSON && text != activities.FormatCSV {
		s.Problem("%s is %q: want json or csv", name, text)
	}
	return text
}

func statuses(s *program.Settings, name, text string) []string {
	filter := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	for _, problem := range (activities.Filter{Statuses: filter}).Validate() {
		s.Problem("%s: %v", name, problem)
	}
	return filter
}

func number(least, most int) func(*program.Settings, string, string) int {
	return func(s *program.Settings, name, text string) int { return s.Int(name, text, least, most) }
}

// minInterval saves API calls for imports: each reconciliation lists the account.
const minInterval = time.Minute

func interval(s *program.Settings, name, text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil || d != 0 && d < minInterval {
		s.Problem("%s is %q: want a duration of at least %s, or 0 for never", name, text, program.ShortDuration(minInterval))
	}
	return d
}

func timeout(s *program.Settings, name, text string) string {
	return program.ShortDuration(s.Duration(name, text, time.Second))
}

// validate reports invalid settings to s.
func (g given) validate(s *program.Settings) {
	i := workflows.DefaultInstallation()
	for _, each := range importSettings {
		if text, ok := g[each.name]; ok {
			each.set(&i, s, text)
		}
	}
}

// change is a changed setting; from and to are for display.
type change struct{ name, from, to string }

func (c change) String() string { return c.name + ": " + c.from + " → " + c.to }

// apply sets the given, valid settings in the installation and returns what changed.
func (g given) apply(i *workflows.Installation) (changes []change) {
	for _, each := range importSettings {
		text, ok := g[each.name]
		if !ok {
			continue
		}
		from := each.text(i)
		each.set(i, new(program.Settings), text)
		if to := each.text(i); to != from {
			changes = append(changes, change{each.name, cmp.Or(from, `""`), cmp.Or(to, `""`)})
		}
	}
	return changes
}

// taskQueueFlag is the setting of commands that start other workflows than imports. The
// connection is set by the TEMPORAL_* variables.
type taskQueueFlag struct {
	GivenTaskQueue *string `name:"task-queue" env:"TASK_QUEUE" placeholder:"NAME" help:"Task queue of the workers. Default: the schedule's, or ${task_queue}."`

	taskQueue string // set by connect
}

// connect returns a client, and sets the task queue.
func (f *taskQueueFlag) connect(ctx context.Context, s *program.Settings) (client.Client, error) {
	if f.GivenTaskQueue != nil {
		f.taskQueue = taskQueue(s, "TASK_QUEUE", *f.GivenTaskQueue)
	}
	options := s.Temporal(discard())
	if err := s.Err(); err != nil {
		return nil, err
	}
	temporal, err := dial(ctx, options)
	if err != nil || f.taskQueue != "" {
		return temporal, err
	}
	i, err := workflows.ReadInstallation(ctx, temporal, options.Namespace)
	if err != nil {
		temporal.Close()
		return nil, fmt.Errorf("reading the workers' task queue, as TASK_QUEUE is not set: %w", err)
	}
	if i == nil {
		i = new(workflows.DefaultInstallation())
	}
	f.taskQueue = i.TaskQueue
	return temporal, nil
}
