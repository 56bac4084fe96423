package failures

import (
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/chaos"
	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/internal/testbed/temporalserver/temporaltest"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestTemporalRestarted(t *testing.T) {
	e := chaos.Register(t, "Temporal is restarted during the import, keeping its database", "the worker reconnects by itself; nothing is downloaded again")
	server := temporaltest.NewServer(t)
	c := e.On(t, server.Namespace, postgrestest.NewDatabase(t))
	c.Worker(c.Spool)
	c.SlowImport()
	id := c.Finished(chaos.Many)
	c.UntilImported(id, 2000)
	server.Stop()
	c.Observe("stopped after %s records", humanize.Comma(c.RequireHalf(id, chaos.Many)))
	server.Start()
	c.RequireImported(id, chaos.Many)
	require.Equal(t, 1, c.Downloads(id))
}

func TestTemporalDownWhenANotificationArrives(t *testing.T) {
	e := chaos.Register(t, "a notification arrives while Temporal is down", "answered with 503 within 8 s; the retry of Web Scraper Cloud imports it")
	server := temporaltest.NewServer(t)
	c := e.On(t, server.Namespace, postgrestest.NewDatabase(t))
	c.Worker(c.Spool)
	id := c.Cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(1000, 1)})
	server.Stop()
	delivered := make(chan webscrapertest.Delivery, 1)
	go func() {
		delivery, err := c.Cloud.SendWebhook(t.Context(), id)
		if err != nil {
			t.Error(err)
		}
		delivered <- delivery
	}()
	c.WaitFor("a refusal", func() bool { return strings.Contains(c.Log.String(), "Notification refused") })
	server.Start()
	delivery := <-delivered
	require.True(t, delivery.Delivered, "%+v", delivery)
	var statuses []int
	for _, attempt := range delivery.Attempts {
		statuses = append(statuses, attempt.Status)
	}
	require.Equal(t, 503, statuses[0], "a response in time")
	c.Observe("the attempts were answered with %v", statuses)
	c.RequireImported(id, 1000)
}
