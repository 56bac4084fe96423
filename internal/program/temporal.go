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

// temporalVariables are those of the environment. What envconfig does not take for
// true or false it would ignore, and TLS with it.
type temporalVariables struct{ settings *Settings }

// Environ returns them all.
func (temporalVariables) Environ() []string { return os.Environ() }

// LookupEnv returns one.
func (v temporalVariables) LookupEnv(name string) (string, bool) {
	value, ok := os.LookupEnv(name)
	if (name == "TEMPORAL_TLS" || name == "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION") && value != "" {
		value = strconv.FormatBool(v.settings.Bool(name, value))
	}
	return value, ok
}

// tomlError is the error of the TOML reader behind envconfig.
type tomlError interface {
	error
	ErrorWithPosition() string
}

// Temporal reads the TEMPORAL_* variables and the profile file that the
// Temporal CLI reads too, and returns options for a client.
func (s *Settings) Temporal(logger *slog.Logger) client.Options {
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{EnvLookup: temporalVariables{s}})
	if syntax, ok := errors.AsType[tomlError](err); ok {
		// Its text repeats what stands there: an API key without quotes, say.
		var line int
		_, _ = fmt.Sscanf(syntax.Error(), "toml: line %d", &line)
		err = fmt.Errorf("line %d of the file cannot be read", line)
	}
	if err != nil {
		s.Problem("the TEMPORAL_* variables or the profile file they name: %v", err)
	}
	options.Logger = log.NewStructuredLogger(logger)
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, lostquery.AskAgain())
	// Requests are small, and compressing them takes more time than sending them.
	options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	options.HostPort = cmp.Or(options.HostPort, client.DefaultHostPort)
	options.Namespace = cmp.Or(options.Namespace, client.DefaultNamespace)
	return options
}
