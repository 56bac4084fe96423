// Package webhook receives notifications from Web Scraper Cloud.
//
// The handler authenticates and decodes a notification and, if the filter accepts it,
// signals the workflow of its scraping job. It always answers within 8 seconds: the vendor
// waits for 10 seconds, retries twice, then drops the notification.
//
// Mount it on any gin engine:
//
//	err := webhook.Register(engine, webhook.Options{Client: temporal, Tokens: tokens})
//
// Each account other than the default one has its own path, such as
// /webhooks/webscraper/acme. Options.TokensOf returns its tokens.
//
// The token is part of the URL. Your logging middleware must omit the query string; for
// gin's logger: gin.LoggerConfig{SkipQueryString: true}. gin.Recovery logs the complete URL
// of a request that panics, in gin's debug mode and when the connection is broken: use
// gin.CustomRecoveryWithWriter(nil, …).
//
// The handler limits the body's size and read time. Limits for headers and idle connections
// are set on your http.Server; engine.Run sets none.
package webhook
