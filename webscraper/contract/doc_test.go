// Package contract only has a test: the vendor's own client for Node.js
// (@webscraperio/api-client-nodejs) calls the fake of package webscrapertest with each
// of its methods except those for sitemaps, and reads its downloads. The client of
// package webscraper must get the same results with the same requests; where the
// vendor's client is known to be wrong, a test shows that ours is right.
//
// Its version is pinned in package.json, and only this test depends on it. The test
// installs it with npm if it is missing; without Node.js and npm the test is skipped.
package contract
