package process

import (
	"log/slog"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
)

// Temporal reads the TEMPORAL_* variables and the profile file that the
// Temporal CLI reads too, and returns options for a client.
func (s *Settings) Temporal(logger *slog.Logger) client.Options {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		s.Problem("the TEMPORAL_* variables or the profile file they name: %v", err)
	}
	options.Logger = log.NewStructuredLogger(logger)
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	return options
}
