package doctest

import (
	"go/ast"
	"reflect"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/workflows"
)

var saidDefault = regexp.MustCompile(`Default: (\$\{\w+\}|\w+)\.$`)

// variables are the environment variables of the packages' flags, with their defaults.
func variables(t *testing.T, packages ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range packages {
		for _, file := range sourceFiles(t, dir) {
			ast.Inspect(file, func(node ast.Node) bool {
				if field, ok := node.(*ast.Field); ok && field.Tag != nil {
					text, err := strconv.Unquote(field.Tag.Value)
					require.NoError(t, err)
					tag := reflect.StructTag(text)
					if name := tag.Get("env"); name != "" && found[name] == "" {
						found[name] = tag.Get("default")
						if said := saidDefault.FindStringSubmatch(tag.Get("help")); said != nil && found[name] == "" {
							found[name] = said[1] // a setting that the schedule may have
						}
					}
				}
				return true
			})
		}
	}
	return found
}

var defaults = workflows.DefaultSettings()

// computed are the defaults that the programs compute.
var computed = map[string]string{
	"${base_uri}": webscraper.DefaultBaseURI, "${task_queue}": workflows.DefaultTaskQueue, "${hold}": defaults.HoldBeforeDelete,
	"${source_format}": defaults.SourceFormat, "${batch_records}": strconv.Itoa(defaults.BatchRecords),
	"${max_record_bytes}":  strconv.Itoa(defaults.MaxRecordBytes),
	"${attention_timeout}": defaults.AttentionTimeout, "${worker_gone_after}": defaults.WorkerGoneAfter,
	"${heartbeat_timeout}": defaults.HeartbeatTimeout, "${reconcile_every}": program.ShortDuration(workflows.DefaultInstallation().Every),
}

func TestEverySettingIsListedWithItsDefault(t *testing.T) {
	configuration := onePage(t, "docs/configuration.md")
	listed := map[string]string{} // the cell of the default
	for _, section := range []string{"The worker", "The starter"} {
		for _, row := range configuration.tables(t, section) {
			for _, name := range names(row[0]) {
				listed[name] = row[1]
			}
		}
	}
	read := variables(t, "worker", "starter", "internal/program")
	for name, byDefault := range read {
		cell, ok := listed[name]
		require.True(t, ok, "docs/configuration.md does not have %s", name)
		if value, ok := computed[byDefault]; ok {
			byDefault = value
		}
		if byDefault != "" && name != "HEALTH_ADDRESS" { // which has one for the healthcheck only
			require.Equal(t, []string{byDefault}, names(cell), "the default of %s", name)
		}
	}
	for name := range listed {
		require.Contains(t, read, name, "no program reads it")
	}
}
