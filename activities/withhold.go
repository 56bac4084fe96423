package activities

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/scrapehaul/scrapehaul/sink"
)

// tolerated: one in this many records may be rejected or left unmapped in an import that
// replaces another one.
const tolerated = 100

// whyWithhold returns the next question to answer before the import is published, or nil.
// Accepting a failed data quality check also accepts a later one of the same content, as
// only the sitemap's limits can have changed.
func (a *Activities) whyWithhold(ctx context.Context, in ImportRecordsInput, attempt sink.Import) (*sink.Question, error) {
	quality := sink.Question{Kind: sink.FailedDataQuality, Reason: in.FailedDataQuality}
	if in.FailedDataQuality != "" && !quality.AcceptedIn(in.Accepted) {
		return &quality, nil
	}
	return a.tooFew(ctx, in, attempt)
}

// tooFew returns the question whether to publish an import with too few good records, with
// the first reasons for bad ones, or nil.
func (a *Activities) tooFew(ctx context.Context, in ImportRecordsInput, attempt sink.Import) (*sink.Question, error) {
	counts := attempt.Checkpoint().Counts
	asked := sink.Question{Kind: sink.TooFewRecords, Worse: counts.Bad() - counts.Good()}
	if asked.AcceptedIn(in.Accepted) {
		return nil, nil
	}
	fewer, err := a.whyTooFew(ctx, in, counts)
	if err != nil || fewer == "" {
		return nil, err
	}
	reasons, err := attempt.Reasons(ctx, reasonsShown)
	asked.Reason = withReasons(fewer, reasons)
	return &asked, err
}

// whyTooFew protects readers: without an operator, an import never replaces a better one,
// and is not published if it has no good records or far fewer than the sitemap's last one.
func (a *Activities) whyTooFew(ctx context.Context, in ImportRecordsInput, counts sink.Counts) (reason string, err error) {
	good := counts.Good()
	published, err := a.published(ctx, in.Job.ScrapingJobID, in.Job.Account)
	switch {
	case err != nil:
		return "", err
	case published != nil && published.RemovedAt == nil && (good < published.Good() || counts.Bad() > max(in.MaxRejected, published.Bad(), counts.All()/tolerated)):
		return fmt.Sprintf("the import has %s good records%s, and the job has stored %s",
			humanize.Comma(good), andOthers(counts), humanize.Comma(in.Job.StoredRecordCount)), nil
	case !finished(in.Job):
		return "", nil
	}
	last, err := a.Sink.LastOfSitemap(ctx, cmp.Or(in.Job.Account, sink.DefaultAccount), in.Job.SitemapName)
	switch {
	case err != nil || last == nil:
		return "", err
	case good == 0 && last.Good() > 0:
		return fmt.Sprintf("the import has 0 good records%s, and the job has stored %s; %s were last published for its sitemap, from job %d",
			andOthers(counts), humanize.Comma(in.Job.StoredRecordCount), humanize.Comma(last.Good()), last.ScrapingJobID), nil
	case 100*good < int64(in.MinRecordsPercent)*last.Good():
		return fmt.Sprintf("the import has %s good records%s, fewer than %d %% of the %s last published for its sitemap, from job %d (MIN_RECORDS_PERCENT)",
			humanize.Comma(good), andOthers(counts), in.MinRecordsPercent, humanize.Comma(last.Good()), last.ScrapingJobID), nil
	}
	return "", nil
}

// nothingPublished adds to the reason of a withheld import what readers see.
func (a *Activities) nothingPublished(ctx context.Context, in ImportRecordsInput, reason string) (string, error) {
	published, err := a.published(ctx, in.Job.ScrapingJobID, in.Job.Account)
	reason += "; nothing was published"
	if published != nil && published.RemovedAt == nil {
		reason += fmt.Sprintf(", and queries still return the %s published before", humanize.Comma(published.Good()))
	}
	return reason, err
}

// andOthers lists the records that are not good.
func andOthers(counts sink.Counts) (text string) {
	for _, others := range []struct {
		n   int64
		are string
	}{
		{counts.Rejected, "rejected"}, {counts.Unmapped, "unmapped"}, {counts.Skipped, "skipped by a record hook"},
	} {
		if others.n > 0 {
			text += ", " + humanize.Comma(others.n) + " " + others.are
		}
	}
	return text
}

const (
	reasonsShown  = 3
	maxReasonText = 300 // bytes
)

// withReasons adds the reasons for bad records to a sentence.
func withReasons(sentence string, reasons []sink.Reason) string {
	var shown []string
	for _, each := range reasons {
		text := each.Reason
		if len(text) > maxReasonText {
			text = strings.ToValidUTF8(text[:maxReasonText], "") + "…"
		}
		shown = append(shown, fmt.Sprintf("record %d: %s", each.RecordNumber, text))
	}
	if len(shown) == 0 {
		return sentence
	}
	return sentence + " (" + strings.Join(shown, "; ") + ")"
}
