package statuspage_test

import (
	"log"
	"os"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/statuspage"
)

// A host mounts the page below its own path: /admin/imports.
func ExampleRegister() {
	// Lazy clients let the host start without Temporal and PostgreSQL: the page reports that
	// they are unavailable.
	options := envconfig.MustLoadDefaultClientOptions()
	temporal, err := client.NewLazyClient(options)
	if err != nil {
		log.Fatal(err)
	}
	db, err := postgres.Open(os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	engine := gin.New()
	err = statuspage.Register(engine.Group("/admin"), statuspage.Options{
		Client:    temporal,
		Namespace: "default",
		Store:     postgres.NewStore(db, nil),
		User:      "operator",
		Password:  os.Getenv("PAGE_PASSWORD"),
	})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(engine.Run())
}
