package client

import (
	"errors"
	"net/http"
)

// NewAwsHttpClient takes the place of the server's function of that name, for which
// Amazon's SDK would have to be compiled.
func NewAwsHttpClient(config ESAWSRequestSigningConfig) (*http.Client, error) {
	if !config.Enabled {
		return nil, nil
	}
	return nil, errors.New("this Temporal server was built without Amazon's Elasticsearch")
}
