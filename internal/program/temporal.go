package program

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"github.com/scrapehaul/scrapehaul/internal/lostquery"
)

// temporalVariables reads the environment. It normalizes booleans: envconfig would ignore
// one that it does not understand, and TLS with it.
type temporalVariables struct{ settings *Settings }

// Environ returns all variables.
func (temporalVariables) Environ() []string { return os.Environ() }

// LookupEnv returns one variable.
func (v temporalVariables) LookupEnv(name string) (string, bool) {
	value, ok := os.LookupEnv(name)
	if (name == "TEMPORAL_TLS" || name == "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION") && value != "" {
		value = strconv.FormatBool(v.settings.Bool(name, value))
	}
	return value, ok
}

// tomlError is an error of envconfig's TOML parser.
type tomlError interface {
	error
	ErrorWithPosition() string
}

// Temporal reads the TEMPORAL_* variables and the profile file, like the Temporal CLI, and
// returns client options.
func (s *Settings) Temporal(logger *slog.Logger) client.Options {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: temporalVariables{s}})
	if syntax, ok := errors.AsType[tomlError](err); ok {
		// Its text quotes the line, which may be an API key.
		var line int
		_, _ = fmt.Sscanf(syntax.Error(), "toml: line %d", &line)
		err = fmt.Errorf("line %d of the file is invalid", line)
	}
	if err != nil {
		s.Problem("the TEMPORAL_* variables or the profile file they name: %v", err)
	}
	options.Logger = log.NewStructuredLogger(logger)
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, lostquery.Retry())
	// Requests are small: compressing them takes longer than sending them.
	options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	options.HostPort = cmp.Or(options.HostPort, client.DefaultHostPort)
	options.Namespace = cmp.Or(options.Namespace, client.DefaultNamespace)
	return options
}
