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

// scrapeTimeout is needed for frozen processes.
const scrapeTimeout = 10 * time.Second

// Scrape returns the /metrics of all running workers and starters, in the order of their
// start.
func (s *System) Scrape() (texts []string) {
	for line := range strings.Lines(s.Log.String()) {
		var served struct {
			Message string `json:"msg"`
			Address string `json:"address"`
		}
		if json.Unmarshal([]byte(line), &served) != nil || (served.Message != "Serving health checks" && served.Message != "Serving metrics") {
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
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", false // the process has ended or is frozen
	}
	defer response.Body.Close()
	var body bytes.Buffer
	_, err = io.Copy(&body, response.Body)
	return body.String(), err == nil && response.StatusCode == http.StatusOK
}

// keepMetrics keeps the metrics before a process ends, for the search for secrets.
func (s *System) keepMetrics() {
	s.scraped = append(s.scraped, s.Scrape()...)
}
