package scrapehaul_test

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/scrapehaul/scrapehaul/sink"
)

// A receiver accepts requests signed with the secret.
func Example_webhook() {
	handler, err := verified(os.Getenv("PUBLISHED_WEBHOOK_SECRET"), func(body []byte) error {
		var event struct{ Data sink.Publication }
		if err := json.Unmarshal(body, &event); err != nil {
			return err
		}
		log.Printf("%d records of %s", event.Data.Records, event.Data.SitemapName)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /published", handler)
}

// verified passes on requests that are signed with the secret, and rejects all others.
func verified(secret string, next func(body []byte) error) (http.HandlerFunc, error) {
	verifier, err := standardwebhooks.NewWebhook(secret)
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			http.Error(w, "invalid signature", http.StatusUnauthorized)
			return
		}
		if err := next(body); err != nil { // it will be retried
			http.Error(w, "not processed", http.StatusInternalServerError)
		}
	}, err
}
