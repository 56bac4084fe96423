package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

// scrapeTimeout is for a process that is stopped but not dead, too.
const scrapeTimeout = 10 * time.Second

// Scrape returns what the workers and starters that live now serve at /metrics,
// in the order in which they began to.
func (s *System) Scrape() (texts []string) {
	for line := range strings.Lines(s.Log.String()) {
		var served struct {
			Message string `json:"msg"`
			Address string `json:"address"`
		}
		if json.Unmarshal([]byte(line), &served) != nil || (served.Message != "Health served" && served.Message != "Metrics served") {
			continue
		}
		if text, ok := scrape(served.Address); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func scrape(address string) (text string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+program.MetricsPath, nil)
	if err != nil {
		return "", false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", false // dead, or as good as
	}
	defer answer.Body.Close()
	var body bytes.Buffer
	_, err = io.Copy(&body, answer.Body)
	return body.String(), err == nil && answer.StatusCode == http.StatusOK
}

// keepMetrics keeps what is served before a process ends, for the search for
// secrets.
func (s *System) keepMetrics() {
	s.scraped = append(s.scraped, s.Scrape()...)
}
