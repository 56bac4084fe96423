package programtest

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// variables matches the variables that the worker or the starter reads.
var variables = regexp.MustCompile(`^(TEMPORAL_.*|WEBSCRAPER_.*|DATABASE_.*|OTEL_.*|TASK_QUEUE` + // both
	`|SPOOL_.*|ARCHIVE_.*|MAPPINGS|MAX_CONCURRENT_IMPORTS|CONNECTIONS_PER_IMPORT|WORKER_STOP_TIMEOUT|WORKER_DEPLOYMENT_NAME|WORKER_BUILD_ID|HEALTH_ADDRESS|ON_PUBLISHED.*|PUBLISHED_WEBHOOK_.*` + // the worker
	`|HOLD_BEFORE_DELETE|SOURCE_.*|BATCH_RECORDS|MAX_RECORD_BYTES|WORKER_GONE_AFTER|HEARTBEAT_TIMEOUT` + // the starter
	`|MAX_REJECTED|MIN_RECORDS_PERCENT|REQUIRE_DATA_QUALITY|ATTENTION_TIMEOUT|LISTEN_ADDRESS|WEBHOOK_.*|RECONCILE_EVERY|FILTER_.*|STATUS_PAGE_.*|TEMPORAL_UI_URL|METRICS_ADDRESS` +
	`|NO_COLOR|TERM)$`) // the terminal

// SetEnvironment replaces the settings of the worker and the starter in this process's
// environment, until the end of the test. settings are by variable name.
func SetEnvironment(t testing.TB, settings map[string]string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); variables.MatchString(name) {
			t.Setenv(name, "") // restored afterwards
			require.NoError(t, os.Unsetenv(name))
		}
	}
	t.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
	for name, value := range settings {
		t.Setenv(name, value)
	}
}
