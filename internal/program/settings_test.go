package program_test

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/internal/diskspace"
	"github.com/scrapehaul/scrapehaul/internal/program"
)

func TestValidSettingsAreParsed(t *testing.T) {
	var s program.Settings
	s.Required("NAME", "value", "any")
	require.Equal(t, 10*time.Minute, s.Duration("DURATION", "10m", 0))
	require.Zero(t, s.Duration("DURATION", "0", 0))
	require.Equal(t, 1, s.Int("NUMBER", "1", 1, 5))
	require.Equal(t, 5, s.Int("NUMBER", "5", 1, 5))
	for _, word := range []string{"true", "TRUE", "t", "yes", "Yes", "on", "1"} {
		require.True(t, s.Bool("CHOICE", word), word)
	}
	for _, word := range []string{"false", "False", "f", "no", "off", "OFF", "0"} {
		require.False(t, s.Bool("CHOICE", word), word)
	}
	for _, address := range []string{":8080", "127.0.0.1:0", "[::1]:8080", "localhost:http"} {
		s.Address("ADDRESS", address)
	}
	for _, databaseURL := range []string{
		"postgres://importer:password@db:5432/scrapes?sslmode=verify-full",
		"postgresql://importer@db/scrapes?connect_timeout=5&sslmode=disable",
	} {
		(&program.DatabaseFlags{DatabaseURL: databaseURL}).Validate(&s)
	}
	require.NoError(t, s.Err())
}

func TestShortDurationsHaveNoZeroUnits(t *testing.T) {
	for _, text := range []string{"0", "30s", "10m", "24h", "1h30m", "1m30s", "168h", "1h0m1s", "500ms"} {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, text, program.ShortDuration(d))
	}
}

func TestInvalidSettingsAreNamedWithTheirValues(t *testing.T) {
	const password = "password-zx84"
	for _, c := range []struct {
		read func(*program.Settings)
		want string
	}{
		{func(s *program.Settings) { s.Required("NAME", "\t", "a name") }, `NAME is missing: a name`},
		{func(s *program.Settings) { s.Duration("WAIT", "", 0) }, `WAIT is "": want a duration of at least 0s`},
		{func(s *program.Settings) { s.Duration("WAIT", "10", 0) }, `WAIT is "10"`},
		{func(s *program.Settings) { s.Duration("WAIT", "-1s", 0) }, `WAIT is "-1s"`},
		{func(s *program.Settings) { s.Duration("WAIT", "999ms", time.Second) }, `WAIT is "999ms": want a duration of at least 1s`},
		{func(s *program.Settings) { s.Int("COUNT", "", 1, 5) }, `COUNT is "": want a number from 1 to 5`},
		{func(s *program.Settings) { s.Int("COUNT", "6", 1, 5) }, `COUNT is "6"`},
		{func(s *program.Settings) { s.Int("COUNT", "0", 1, 5) }, `COUNT is "0"`},
		{func(s *program.Settings) { s.Int("COUNT", "1.5", 1, 5) }, `COUNT is "1.5"`},
		{func(s *program.Settings) { s.Int("COUNT", "1 GB", 0, math.MaxInt) }, `COUNT is "1 GB": want a number from 0 to 9223372036854775807`},
		{func(s *program.Settings) { s.Int("COUNT", "99999999999999999999", 0, math.MaxInt) }, `COUNT is "99999999999999999999"`},
		{func(s *program.Settings) { s.Bool("CHOICE", "") }, `CHOICE is "": want true or false`},
		{func(s *program.Settings) { s.Bool("CHOICE", "perhaps") }, `CHOICE is "perhaps": want true or false`},
		{func(s *program.Settings) { s.Bool("CHOICE", " true") }, `CHOICE is " true"`},
		{func(s *program.Settings) { s.Address("ADDRESS", "8080") }, `ADDRESS is "8080": want host:port or :port`},
		{func(s *program.Settings) { s.Address("ADDRESS", "localhost:") }, `ADDRESS is "localhost:"`},
		{func(s *program.Settings) { (&program.DatabaseFlags{DatabaseURL: ""}).Validate(s) }, `DATABASE_URL is missing: want postgres://`},
		{func(s *program.Settings) {
			(&program.DatabaseFlags{DatabaseURL: "mysql://me:" + password + "@db/scrapes"}).Validate(s)
		}, `DATABASE_URL is not the URL of a PostgreSQL database`},
		{func(s *program.Settings) {
			(&program.DatabaseFlags{DatabaseURL: "host=db password=" + password}).Validate(s)
		}, `DATABASE_URL is not the URL of a PostgreSQL database`},
		{func(s *program.Settings) {
			(&program.DatabaseFlags{DatabaseURL: "postgres://me:" + password + "%%20@db/scrapes"}).Validate(s)
		}, `DATABASE_URL has a % in its user or password that is not part of an escape: write it as %25`},
		{func(s *program.Settings) {
			(&program.DatabaseFlags{DatabaseURL: "postgres://me:" + password + "@db/scrapes"}).Validate(s)
		}, `DATABASE_URL does not say whether to use TLS`},
	} {
		var s program.Settings
		c.read(&s)
		var wrong *program.SettingsError
		require.ErrorAs(t, s.Err(), &wrong)
		require.Len(t, wrong.Problems, 1)
		require.True(t, strings.HasPrefix(wrong.Problems[0], c.want), wrong.Problems[0])
		require.NotContains(t, s.Err().Error(), password)
	}
}

func TestTemporalDefaultsToTheLocalServer(t *testing.T) {
	withoutTemporalSettings(t)
	var s program.Settings
	options := s.Temporal(slog.New(slog.DiscardHandler))
	require.NoError(t, s.Err())
	require.Equal(t, "localhost:7233", options.HostPort)
	require.Equal(t, "default", options.Namespace)

	t.Setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
	t.Setenv("TEMPORAL_NAMESPACE", "scrapes")
	options = s.Temporal(slog.New(slog.DiscardHandler))
	require.NoError(t, s.Err())
	require.Equal(t, "temporal.example:7233", options.HostPort)
	require.Equal(t, "scrapes", options.Namespace)
}

func TestTemporalTLSIsNeverSilentlyOff(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        func(client.ConnectionOptions) bool // nil when it is refused
	}{
		{"TEMPORAL_TLS", "true", func(o client.ConnectionOptions) bool { return o.TLS != nil }},
		{"TEMPORAL_TLS", "yes", func(o client.ConnectionOptions) bool { return o.TLS != nil }},
		{"TEMPORAL_TLS", "On", func(o client.ConnectionOptions) bool { return o.TLS != nil }},
		{"TEMPORAL_TLS", "no", func(o client.ConnectionOptions) bool { return o.TLS == nil && o.TLSDisabled }},
		{"TEMPORAL_TLS", "off", func(o client.ConnectionOptions) bool { return o.TLS == nil && o.TLSDisabled }},
		{"TEMPORAL_TLS", "", func(o client.ConnectionOptions) bool { return o.TLS == nil }},
		{"TEMPORAL_TLS", "perhaps", nil},
		{"TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "yes", func(o client.ConnectionOptions) bool { return o.TLS.InsecureSkipVerify }},
		{"TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "enabled", nil},
	} {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			withoutTemporalSettings(t)
			t.Setenv(c.name, c.value)
			var s program.Settings
			options := s.Temporal(slog.New(slog.DiscardHandler))
			if c.want == nil {
				require.ErrorContains(t, s.Err(), fmt.Sprintf("%s is %q: want true or false", c.name, c.value))
				return
			}
			require.NoError(t, s.Err())
			require.True(t, c.want(options.ConnectionOptions))
		})
	}
}

func TestUnsupportedTraceProtocolIsRefused(t *testing.T) {
	for _, c := range []struct {
		settings map[string]string
		on       program.Tracing
		want     string // "" if the settings are valid
	}{
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true,
			`OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": want http/protobuf, which most receivers accept on port 4318`},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"}, true,
			`OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is "http/json": want http/protobuf`},
		// The settings for traces override the general ones.
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
			"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_SDK_DISABLED": "yes"}, false, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "perhaps"}, true, `OTEL_SDK_DISABLED is "perhaps": want true or false`},
	} {
		withoutTemporalSettings(t)
		for _, name := range []string{"ENDPOINT", "PROTOCOL", "TRACES_ENDPOINT", "TRACES_PROTOCOL"} {
			t.Setenv("OTEL_EXPORTER_OTLP_"+name, "")
		}
		t.Setenv("OTEL_SDK_DISABLED", "")
		for name, value := range c.settings {
			t.Setenv(name, value)
		}
		var s program.Settings
		require.Equal(t, c.on, s.Tracing(), c.settings)
		if c.want == "" {
			require.NoError(t, s.Err())
		} else {
			require.ErrorContains(t, s.Err(), c.want)
		}
	}
}

func TestSpoolMustExistAndFitItsDisk(t *testing.T) {
	dir := t.TempDir()
	_, size, err := diskspace.Of(dir)
	require.NoError(t, err)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct{ dir, minFree, want string }{
		{dir, strconv.FormatInt(size, 10), ""},
		{dir, strconv.FormatInt(size+1, 10), fmt.Sprintf(`SPOOL_MIN_FREE is "%d": want a number from 1 to %d`, size+1, size)},
		{dir, "0", fmt.Sprintf(`SPOOL_MIN_FREE is "0": want a number from 1 to %d`, size)},
		{filepath.Join(dir, "missing"), "1", `SPOOL_DIR is "` + filepath.Join(dir, "missing") + `", which is not a folder here: mount its disk, or create it`},
		{file, "1", `SPOOL_DIR is "` + file + `", which is not a folder here`},
		{"", "1", "SPOOL_DIR is missing: "},
	} {
		var s program.Settings
		(&program.SpoolFlags{SpoolDir: c.dir, SpoolMinFree: c.minFree}).Validate(&s)
		if c.want == "" {
			require.NoError(t, s.Err())
		} else {
			require.ErrorContains(t, s.Err(), c.want)
		}
	}
	require.NoDirExists(t, filepath.Join(dir, "missing"))
}

func TestInvalidTemporalSettingsAreNamedWithoutSecrets(t *testing.T) {
	const secret = "secretkey"
	profile := func(content string) string {
		path := filepath.Join(t.TempDir(), "temporal.toml")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for _, c := range []struct {
		name, value, want string
	}{
		{"TEMPORAL_PROFILE", "production", "unable to find profile production"},
		{"TEMPORAL_TLS_CLIENT_KEY_DATA", secret, "if either client cert or key data is present"},
		{"TEMPORAL_CONFIG_FILE", profile("[profile.default]\napi_key = " + secret + "\n"), "line 2 of the file is invalid"},
		{"TEMPORAL_CONFIG_FILE", profile("[profile.default]\napi_key = \"" + secret + "\n"), "line 2 of the file is invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			withoutTemporalSettings(t)
			t.Setenv(c.name, c.value)
			var s program.Settings
			s.Temporal(slog.New(slog.DiscardHandler))
			require.ErrorContains(t, s.Err(), "the TEMPORAL_* variables or the profile file they name: ")
			require.ErrorContains(t, s.Err(), c.want)
			require.NotContains(t, s.Err().Error(), secret)
		})
	}
}

// withoutTemporalSettings clears the TEMPORAL_* variables of the environment.
func withoutTemporalSettings(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "TEMPORAL_") {
			t.Setenv(name, "") // restored afterwards
			require.NoError(t, os.Unsetenv(name))
		}
	}
	t.Setenv("TEMPORAL_CONFIG_FILE", os.DevNull)
}
