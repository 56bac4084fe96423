// Package statuspage shows an operator which imports are running, which need attention and
// which have ended, and sends the operator's signals.
//
// Mount it on any gin engine:
//
//	err := statuspage.Register(engine, statuspage.Options{
//		Client: temporal, Namespace: "default", Store: postgres.NewStore(db, nil), User: "operator", Password: password,
//	})
//
// Anyone with the credentials can have jobs deleted in the cloud. The credentials are sent
// with every request: serve the page over TLS, on a private network, or both. The page
// needs no JavaScript, and only read privileges in the database.
package statuspage
