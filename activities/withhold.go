package activities

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/scrapehaul/scrapehaul/sink"
)

// tolerated is the share of the records, one in so many, that may be rejected or
// left unmapped in an import that replaces another one.
const tolerated = 100

// accepted are the questions that a person has accepted, also by what workflows of
// earlier builds say.
func (in ImportRecordsInput) accepted() []sink.Question {
	accepted := in.AcceptedQuestions
	if in.AcceptedRecords != nil {
		accepted = append(accepted, sink.Question{Kind: sink.TooFewRecords, Worse: -*in.AcceptedRecords})
	}
	if in.Accepted {
		accepted = append(accepted, sink.Question{Kind: sink.ManyRowsMissing, Worse: math.MaxInt64})
	}
	return accepted
}

// tooFew protects what readers have: an import never replaces a better one without a
// person, and one that is far smaller than the last of its sitemap, or has nothing
// good, is not published without one. Without such a question it returns nil.
func (a *Activities) tooFew(ctx context.Context, in ImportRecordsInput, attempt sink.Import) (*sink.Question, error) {
	counts := attempt.Mark().Counts
	asked := &sink.Question{Kind: sink.TooFewRecords, Worse: -counts.Good()}
	if asked.AcceptedIn(in.accepted()) {
		return nil, nil
	}
	published, err := a.published(ctx, in.Job.ScrapingJobID)
	if err != nil {
		return nil, err
	}
	if published != nil && (counts.Good() < published.Good() ||
		counts.Bad() > max(in.MaxRejected, published.Bad(), counts.All()/tolerated)) {
		asked.Reason, err = withReasons(ctx, attempt, "the import has %d good records%s, and the job has stored %d: the %d published before stay",
			counts.Good(), andOthers(counts), in.Job.StoredRecordCount, published.Good())
		return asked, err
	}
	if !finished(in.Job) {
		return nil, nil
	}
	last, err := a.Sink.LastOfSitemap(ctx, in.Job.SitemapName)
	switch {
	case err != nil || last == nil:
		return nil, err
	case counts.Good() == 0 && last.Good() > 0:
		asked.Reason, err = withReasons(ctx, attempt, "the job has 0 good records%s, and %d were published of its sitemap last, from job %d",
			andOthers(counts), last.Good(), last.ScrapingJobID)
	case 100*counts.Good() < int64(in.MinRecordsPercent)*last.Good():
		asked.Reason, err = withReasons(ctx, attempt, "the job has %d records%s, fewer than %d %% of the %d that were published of its sitemap last, from job %d (MIN_RECORDS_PERCENT)",
			counts.Good(), andOthers(counts), in.MinRecordsPercent, last.Good(), last.ScrapingJobID)
	default:
		return nil, nil
	}
	return asked, err
}

func andOthers(counts sink.Counts) (text string) {
	if counts.Rejected > 0 {
		text += fmt.Sprintf(", %d rejected ones", counts.Rejected)
	}
	if counts.Unmapped > 0 {
		text += fmt.Sprintf(", %d that do not fit the mapped table", counts.Unmapped)
	}
	if counts.Skipped > 0 {
		text += fmt.Sprintf(", %d that a record hook skipped", counts.Skipped)
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
