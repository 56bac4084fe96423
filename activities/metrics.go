package activities

import (
	"cmp"
	"context"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/sink"
)

// Names of the metrics that the MetricsHandler of the worker's client gets. Like
// all of Temporal's they carry the SDK's own tags, the activity's type and the
// task queue among them.
const (
	// recordsMetric, rejectedMetric, unmappedMetric and bytesMetric are counters of
	// what has been committed, batch by batch: of the file, bytes. Their tag "account" is
	// the job's account, as is that of the others.
	recordsMetric  = "scrapehaul_records"
	rejectedMetric = "scrapehaul_rejected_records"
	unmappedMetric = "scrapehaul_unmapped_records"
	bytesMetric    = "scrapehaul_bytes"
	// removedMetric is a counter of the records of imports whose retention was over.
	removedMetric = "scrapehaul_removed_records"
	// undeliverableMetric counts publications that could not be delivered to the webhook.
	undeliverableMetric = "scrapehaul_undeliverable_publications"
	// refusedMetric counts jobs that were refused because another account has one of the
	// same ID, with the tag "account": the one that was refused.
	refusedMetric = "scrapehaul_refused_jobs"
	// stepMetric is a timer, with the tags "account" and "step": how long a step of an import
	// has taken, from the moment it was due to its end, with all attempts and all
	// waiting. A step that failed for good is not in it.
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

// InitMetrics lets the counters of the activities begin at 0 on a handler that
// drops the SDK's own tags: what is counted for the first time is seen as an
// increase then. Without accounts, there is the default one.
func InitMetrics(handler client.MetricsHandler, accounts ...string) {
	handler.Counter(undeliverableMetric).Inc(0)
	if len(accounts) == 0 {
		accounts = []string{sink.DefaultAccount}
	}
	for _, account := range accounts {
		for _, name := range []string{recordsMetric, rejectedMetric, unmappedMetric, bytesMetric, removedMetric, refusedMetric} {
			handler.WithTags(accountTags(account)).Counter(name).Inc(0)
		}
	}
}

func accountTags(account string) map[string]string {
	return map[string]string{accountTag: cmp.Or(account, sink.DefaultAccount)}
}

// timeStep is called when the activity has succeeded.
func timeStep(ctx context.Context, account, step string) {
	// The server's clock may be ahead of ours.
	took := max(time.Since(activity.GetInfo(ctx).ScheduledTime), 0)
	activity.GetMetricsHandler(ctx).WithTags(accountTags(account)).WithTags(map[string]string{stepTag: step}).Timer(stepMetric).Record(took)
}

// countCommitted returns a function that counts what has been committed since it
// was called last, by the import's mark. What earlier attempts have committed,
// they have counted.
func countCommitted(ctx context.Context, account string, mark func() sink.Checkpoint) (count func()) {
	handler := activity.GetMetricsHandler(ctx).WithTags(accountTags(account))
	counted := mark()
	return func() {
		now := mark()
		handler.Counter(recordsMetric).Inc(now.Records - counted.Records)
		handler.Counter(rejectedMetric).Inc(now.Rejected - counted.Rejected)
		handler.Counter(unmappedMetric).Inc(now.Unmapped - counted.Unmapped)
		handler.Counter(bytesMetric).Inc(now.Bytes - counted.Bytes)
		counted = now
	}
}
