package deploytest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// Does what Kubernetes would, without a cluster: runs the containers' commands with their
// settings until their readiness probes succeed. Only the API's address and its limit are
// the test's.
func TestManifestsDeployAWorkingImporter(t *testing.T) {
	cloud := webscrapertest.NewServer(t, webscrapertest.Options{Tokens: []string{"token-of-the-account"}})
	secret := map[string]string{
		"WEBSCRAPER_API_TOKEN": "token-of-the-account", "WEBHOOK_TOKENS": "secret-in-the-url",
		"DATABASE_URL": "postgres://scrapehaul:secret@postgresql/scrapehaul?sslmode=disable",
	}
	settings := map[string]string{"WEBSCRAPER_API_BASE_URI": cloud.URL, "API_CALLS_PER_15_MINUTES": "20000"}
	for _, o := range manifests(t) {
		maps.Copy(settings, o.Data)
	}
	all := workloads(t)
	spool := all["statefulset/scrapehaul-worker"].Containers[0].VolumeMounts[0].MountPath
	c := newContainers(t, settings["TEMPORAL_ADDRESS"], secret["DATABASE_URL"], nil, map[string]string{spool: "spool"})
	environment := func(of container) map[string]string {
		given := map[string]string{}
		if len(of.EnvFrom) > 0 {
			maps.Copy(given, settings)
		}
		for _, v := range of.Env {
			if v.ValueFrom == nil {
				given[v.Name] = v.Value
			} else if value, has := secret[v.ValueFrom.SecretKeyRef.Key]; has {
				given[v.Name] = value
			} else {
				require.True(t, v.ValueFrom.SecretKeyRef.Optional, v.Name)
			}
		}
		return given
	}

	setup := all["job/scrapehaul-setup"]
	for _, of := range slices.Concat(setup.InitContainers, setup.Containers) {
		require.NoError(t, c.run(c.command(of.Command, environment(of)), false).Wait())
	}
	require.Contains(t, c.log.String(), "schema scrapehaul is at version")
	require.Contains(t, c.log.String(), "schedule scrapehaul-reconcile: created")

	for _, name := range []string{"statefulset/scrapehaul-worker", "deployment/scrapehaul-starter"} {
		of := all[name].Containers[0]
		process := c.run(c.command(of.Command, environment(of)), true)
		url := "http://" + c.here.Replace(of.portAddress(of.ReadinessProbe.HTTPGet.Port)) + of.ReadinessProbe.HTTPGet.Path
		c.waitFor(name+" to be ready", func() bool {
			requireRunning(t, process)
			answer, err := http.Get(url)
			return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
		}, c.log.String)
	}
	cloud.SetWebhookURL(c.here.Replace("http://:8080" + webhook.Path + "?token=" + secret["WEBHOOK_TOKENS"]))
	job := cloud.AddJob(webscrapertest.Job{Records: webscrapertest.Products(20, 1), Status: "started"})
	require.NoError(t, cloud.Finish(t.Context(), job, "finished"))
	c.waitFor("the records", func() bool {
		var n int
		require.NoError(t, c.db.Get(&n, `SELECT count(*) FROM scrapehaul.scraped_records WHERE scrapingjob_id = $1`, job))
		return n == 20
	}, c.log.String)

	worker := all["statefulset/scrapehaul-worker"].Containers[0]
	for _, line := range shellLines(guideText(t)) {
		if _, command, found := strings.Cut(line, "statefulset/scrapehaul-worker -- "); found {
			output, err := c.command(strings.Fields(command), environment(worker)).CombinedOutput()
			require.NoError(t, err, "%s: %s", command, output)
		}
	}
}
