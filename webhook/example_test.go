package webhook_test

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// A host's own gin engine receives the notifications.
func ExampleRegister() {
	// A lazy client lets the host start without Temporal: until Temporal is reachable,
	// notifications are answered with 503, and sent again.
	temporal, err := client.NewLazyClient(envconfig.MustLoadDefaultClientOptions())
	if err != nil {
		log.Fatal(err)
	}
	engine := gin.New()
	engine.Use(gin.LoggerWithConfig(gin.LoggerConfig{SkipQueryString: true})) // the query has the token
	engine.GET("/", func(c *gin.Context) { c.String(http.StatusOK, "the host's own page") })
	err = webhook.Register(engine, webhook.Options{
		Client:    temporal,
		Tokens:    []string{os.Getenv("WEBHOOK_TOKEN")},
		TaskQueue: "prices", // the task queue of the worker with the plugin
		Settings:  workflows.Settings{HoldBeforeDelete: "72h"},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{
		Addr:              ":8080",
		Handler:           engine,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	log.Fatal(server.ListenAndServe())
}
