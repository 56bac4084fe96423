// Package webhook receives the notifications of Web Scraper Cloud.
//
// The handler authenticates a notification, decodes it and, when the filter lets
// it pass, hands it to the workflow of its scraping job. It answers within 8
// seconds, whatever happens:
// the vendor waits for 10, sends twice more, and forgets.
//
// Mount it on any gin engine:
//
//	err := webhook.Register(engine, webhook.Options{Client: temporal, Tokens: tokens})
//
// An account other than the default one has a path of its own, /webhooks/webscraper/acme:
// give its tokens with Options.TokensOf.
//
// The token is part of the URL. A logging middleware of yours has to leave the
// query string out, for gin's own: gin.LoggerConfig{SkipQueryString: true}.
// gin.Recovery writes the whole URL of a request that panics, in gin's debug
// mode and when the connection is broken: use gin.CustomRecoveryWithWriter(nil, …).
//
// The handler limits the body's size and time. The limits of the headers and
// of idle connections are your http.Server's; engine.Run sets none.
package webhook
