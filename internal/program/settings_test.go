package program_test

import (
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/program"
)

func TestSettingsThatAreRightAreRead(t *testing.T) {
	var s program.Settings
	s.Required("NAME", "value", "any")
	require.Equal(t, 10*time.Minute, s.Duration("DURATION", "10m", 0))
	require.Zero(t, s.Duration("DURATION", "0", 0))
	require.Equal(t, 1, s.Int("NUMBER", "1", 1, 5))
	require.Equal(t, 5, s.Int("NUMBER", "5", 1, 5))
	require.True(t, s.Bool("CHOICE", "true"))
	require.False(t, s.Bool("CHOICE", "0"))
	for _, address := range []string{":8080", "127.0.0.1:0", "[::1]:8080", "localhost:http"} {
		s.Address("ADDRESS", address)
	}
	for _, databaseURL := range []string{
		"postgres://importer:password@db:5432/scrapes?sslmode=verify-full",
		"postgresql://importer@db/scrapes?connect_timeout=5&sslmode=disable",
	} {
		s.DatabaseURL("DATABASE_URL", databaseURL)
	}
	require.NoError(t, s.Err())
}

func TestShortDurationsAreAsPeopleWriteThem(t *testing.T) {
	for _, text := range []string{"0", "30s", "10m", "24h", "1h30m", "1m30s", "168h", "1h0m1s", "500ms"} {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, text, program.ShortDuration(d))
	}
}

func TestSettingsThatAreWrongAreNamedWithTheirValues(t *testing.T) {
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
		{func(s *program.Settings) { s.Int("COUNT", "1 GB", 0, math.MaxInt) }, `COUNT is "1 GB": want a number from 0 to …`},
		{func(s *program.Settings) { s.Int("COUNT", "99999999999999999999", 0, math.MaxInt) }, `COUNT is "99999999999999999999"`},
		{func(s *program.Settings) { s.Bool("CHOICE", "") }, `CHOICE is "": want true or false`},
		{func(s *program.Settings) { s.Bool("CHOICE", "yes") }, `CHOICE is "yes"`},
		{func(s *program.Settings) { s.Address("ADDRESS", "8080") }, `ADDRESS is "8080": want host:port or :port`},
		{func(s *program.Settings) { s.Address("ADDRESS", "localhost:") }, `ADDRESS is "localhost:"`},
		{func(s *program.Settings) { s.DatabaseURL("DATABASE_URL", "") }, `DATABASE_URL is missing: want postgres://`},
		{func(s *program.Settings) { s.DatabaseURL("DATABASE_URL", "mysql://me:"+password+"@db/scrapes") }, `DATABASE_URL is not the URL of a PostgreSQL database`},
		{func(s *program.Settings) { s.DatabaseURL("DATABASE_URL", "host=db password="+password) }, `DATABASE_URL is not the URL of a PostgreSQL database`},
		{func(s *program.Settings) { s.DatabaseURL("DATABASE_URL", "postgres://me:"+password+"%%20@db/scrapes") }, `DATABASE_URL has a % in its user or password that begins no escape: write it as %25`},
		{func(s *program.Settings) { s.DatabaseURL("DATABASE_URL", "postgres://me:"+password+"@db/scrapes") }, `DATABASE_URL does not say whether to use TLS`},
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

func TestTemporalIsTheLocalOneUnlessTold(t *testing.T) {
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

func TestTemporalSettingsThatAreWrongAreNamedWithoutSecrets(t *testing.T) {
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
		{"TEMPORAL_CONFIG_FILE", profile("[profile.default]\napi_key = " + secret + "\n"), "line 2 of the file cannot be read"},
		{"TEMPORAL_CONFIG_FILE", profile("[profile.default]\napi_key = \"" + secret + "\n"), "line 2 of the file cannot be read"},
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

// withoutTemporalSettings hides those of whoever runs the test.
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
