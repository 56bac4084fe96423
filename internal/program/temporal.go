package program

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/BurntSushi/toml"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"github.com/scrapehaul/scrapehaul/internal/lostquery"
)

// Temporal reads the TEMPORAL_* variables and the profile file that the
// Temporal CLI reads too, and returns options for a client.
func (s *Settings) Temporal(logger *slog.Logger) client.Options {
	options, err := envconfig.LoadDefaultClientOptions()
	if syntax, ok := errors.AsType[toml.ParseError](err); ok {
		// Its text repeats what stands there: an API key without quotes, say.
		err = fmt.Errorf("line %d of the file cannot be read", syntax.Position.Line)
	}
	if err != nil {
		s.Problem("the TEMPORAL_* variables or the profile file they name: %v", err)
	}
	options.Logger = log.NewStructuredLogger(logger)
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, lostquery.AskAgain())
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	return options
}
