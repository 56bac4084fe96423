// Package statuspage shows an operator what is being imported, what waits for a
// person, and what has been imported, and takes the person's answers.
//
// Mount it on any gin engine:
//
//	err := statuspage.Register(engine, statuspage.Options{
//		Client: temporal, Namespace: "default", Store: postgres.NewStore(db, nil), User: "operator", Password: password,
//	})
//
// Whoever knows the credentials can have jobs deleted in the cloud. They travel
// with every request: serve the page through TLS, on a network of your own, or
// both. The page needs no JavaScript, and no database rights but to read.
package statuspage
