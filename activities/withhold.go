package activities

import (
	"context"
	"fmt"
	"strings"

	"github.com/scrapehaul/scrapehaul/sink"
)

// tolerated is the share of the records, one in so many, that may be rejected or
// left unmapped in an import that replaces another one.
const tolerated = 100

// whyWithhold protects what readers have: an import never replaces a better one
// without a person, and one that is far smaller than the last of its sitemap is not
// published without one. It returns the reason, a sentence without a full stop, or
// "".
func (a *Activities) whyWithhold(ctx context.Context, in ImportRecordsInput, attempt sink.Import) (reason string, err error) {
	counts := attempt.Mark().Counts
	if in.AcceptedRecords != nil && counts.Good() >= *in.AcceptedRecords {
		return "", nil
	}
	published, err := a.published(ctx, in.Job.ScrapingJobID)
	if err != nil {
		return "", err
	}
	if published != nil && (counts.Good() < published.Good() ||
		counts.Bad() > max(in.MaxRejected, published.Bad(), counts.All()/tolerated)) {
		return withReasons(ctx, attempt, "the import has %d good records%s, and the job has stored %d: the %d published before stay",
			counts.Good(), andBad(counts), in.Job.StoredRecordCount, published.Good())
	}
	if in.MinRecordsPercent == 0 || !finished(in.Job) {
		return "", nil
	}
	last, err := a.Sink.LastOfSitemap(ctx, in.Job.SitemapName)
	if err != nil || last == nil || 100*counts.Good() >= int64(in.MinRecordsPercent)*last.Good() {
		return "", err
	}
	return withReasons(ctx, attempt, "the job has %d records%s, fewer than %d %% of the %d that were published of its sitemap last, from job %d (MIN_RECORDS_PERCENT)",
		counts.Good(), andBad(counts), in.MinRecordsPercent, last.Good(), last.ScrapingJobID)
}

func andBad(counts sink.Counts) (text string) {
	if counts.Rejected > 0 {
		text += fmt.Sprintf(", %d rejected ones", counts.Rejected)
	}
	if counts.Unmapped > 0 {
		text += fmt.Sprintf(", %d that do not fit the mapped table", counts.Unmapped)
	}
	return text
}

const (
	reasonsTold   = 3
	maxReasonText = 300 // bytes
)

// withReasons adds the first reasons for bad records to a sentence.
func withReasons(ctx context.Context, attempt sink.Import, format string, args ...any) (string, error) {
	reasons, err := attempt.Reasons(ctx, reasonsTold)
	if err != nil {
		return "", err
	}
	sentence := fmt.Sprintf(format, args...)
	var told []string
	for _, each := range reasons {
		text := each.Reason
		if len(text) > maxReasonText {
			text = strings.ToValidUTF8(text[:maxReasonText], "") + "…"
		}
		told = append(told, fmt.Sprintf("record %d: %s", each.RecordNumber, text))
	}
	if len(told) > 0 {
		sentence += " (" + strings.Join(told, "; ") + ")"
	}
	return sentence, nil
}
