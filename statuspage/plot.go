package statuspage

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/scrapehaul/scrapehaul/postgres"
)

// The plot's own units; the browser scales it.
const (
	plotWidth  = 600
	plotHeight = 80
	plotGap    = 2
	leastBar   = 2 // so that an empty import is seen
)

// plot shows the records of imports, oldest first.
type plot struct {
	Width, Height int
	Bars          []bar
	// Summary says in words what the plot shows.
	Summary string
}

type bar struct {
	X, Y, Width, Height float64
	Class               string // the import's state, or "rejected"
	Title               string
}

// newPlot makes a plot of a page of the history, or returns nil if there is
// nothing to compare.
func newPlot(page []postgres.PastImport) *plot {
	if len(page) < 2 {
		return nil
	}
	most, least := page[0].Records+page[0].Rejected, page[0].Records+page[0].Rejected
	for _, each := range page {
		total := each.Records + each.Rejected
		most, least = max(most, total), min(least, total)
	}
	p := &plot{Width: plotWidth, Height: plotHeight}
	// A few bars do not become slabs.
	step := float64(plotWidth) / float64(max(len(page), 20))
	height := func(n int64) float64 {
		return max(leastBar, float64(n)/float64(max(most, 1))*plotHeight)
	}
	for n, each := range page {
		b := bar{
			X: float64(len(page)-1-n) * step, Width: step - plotGap, Height: height(each.Records + each.Rejected), Class: each.State,
			Title: fmt.Sprintf("scraping job %d, %s UTC: %s records, %s rejected, %s", each.ScrapingJobID,
				each.StartedAt.UTC().Format(time.DateTime), humanize.Comma(each.Records), humanize.Comma(each.Rejected), each.State),
		}
		b.Y = plotHeight - b.Height
		p.Bars = append(p.Bars, b)
		if each.Rejected > 0 {
			b.Height, b.Class = height(each.Rejected), "rejected"
			p.Bars = append(p.Bars, b)
		}
	}
	p.Summary = fmt.Sprintf("Records of %d imports, from %s to %s UTC: between %s and %s, %s in the latest.", len(page),
		page[len(page)-1].StartedAt.UTC().Format(time.DateTime), page[0].StartedAt.UTC().Format(time.DateTime),
		humanize.Comma(least), humanize.Comma(most), humanize.Comma(page[0].Records+page[0].Rejected))
	return p
}
