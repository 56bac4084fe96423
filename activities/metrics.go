package activities

import (
	"cmp"
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Names of the metrics for the MetricsHandler of the worker's client. Like all Temporal
// metrics they have the SDK's tags, such as the activity type and the task queue.
const (
	// recordsMetric, rejectedMetric, unmappedMetric and bytesMetric count what was
	// committed, batch by batch; bytes are those of the file. The tag "account" is the
	// job's account, here and below.
	recordsMetric  = "scrapehaul_records"
	rejectedMetric = "scrapehaul_rejected_records"
	unmappedMetric = "scrapehaul_unmapped_records"
	bytesMetric    = "scrapehaul_bytes"
	// removedMetric counts records removed by retention.
	removedMetric = "scrapehaul_removed_records"
	// undeliverableMetric counts publications that were not delivered to the webhook.
	undeliverableMetric = "scrapehaul_undeliverable_publications"
	// refusedMetric counts jobs that were refused because another account has a job with
	// the same ID. The tag "account" is the refused account.
	refusedMetric = "scrapehaul_refused_jobs"
	// stepMetric is a timer with the tags "account" and "step": how long a step of an
	// import took from when it was due to its end, including all attempts and waits. Steps
	// that failed permanently are not counted.
	stepMetric = "scrapehaul_step_duration"
)

const (
	stepTag    = "step"
	accountTag = "account"
)

// Values of the tag "step".
const (
	stepDescribe = "describe"
	stepDownload = "download"
	stepImport   = "import"
	stepDelete   = "delete"
)

// InitMetrics sets the counters of the activities to 0 on a handler that drops the SDK's
// tags, so that the first count shows as an increase. Without accounts, it initializes the
// default one.
func InitMetrics(handler client.MetricsHandler, accounts ...string) {
	handler.Counter(undeliverableMetric).Inc(0)
	if len(accounts) == 0 {
		accounts = []string{sink.DefaultAccount}
	}
	for _, account := range accounts {
		for _, name := range []string{recordsMetric, rejectedMetric, unmappedMetric, bytesMetric, removedMetric, refusedMetric} {
			handler.WithTags(AccountTags(account)).Counter(name).Inc(0)
		}
	}
}

// AccountTags returns the metrics tag of an account.
func AccountTags(account string) map[string]string {
	return map[string]string{accountTag: cmp.Or(account, sink.DefaultAccount)}
}

// timeStep is called after the activity has succeeded.
func timeStep(ctx context.Context, account, step string) {
	// The server's clock may be ahead of ours.
	took := max(time.Since(activity.GetInfo(ctx).ScheduledTime), 0)
	activity.GetMetricsHandler(ctx).WithTags(AccountTags(account)).WithTags(map[string]string{stepTag: step}).Timer(stepMetric).Record(took)
}

// countCommitted returns a function that counts what was committed since its last call,
// by the import's checkpoint. Earlier attempts counted their own commits.
func countCommitted(ctx context.Context, account string, checkpoint func() sink.Checkpoint) (count func()) {
	handler := activity.GetMetricsHandler(ctx).WithTags(AccountTags(account))
	counted := checkpoint()
	return func() {
		now := checkpoint()
		handler.Counter(recordsMetric).Inc(now.Records - counted.Records)
		handler.Counter(rejectedMetric).Inc(now.Rejected - counted.Rejected)
		handler.Counter(unmappedMetric).Inc(now.Unmapped - counted.Unmapped)
		handler.Counter(bytesMetric).Inc(now.Bytes - counted.Bytes)
		counted = now
	}
}
