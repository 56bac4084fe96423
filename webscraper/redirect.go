package webscraper

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects bounds the redirects of a download.
const maxRedirects = 5

// followDownload follows the API's redirects of a download, for example to a signed
// URL of a file store, as the vendor's own client does. It sends neither the token nor
// a Referer, which would have it. host is the last one, "" without a redirect.
func (c *Client) followDownload(ctx context.Context, req request, resp *http.Response) (last *http.Response, host string, err error) {
	api, from := resp.Request, resp.Request.URL
	for n := 1; resp.StatusCode/100 == 3 && resp.Header.Get("Location") != ""; n++ {
		_ = resp.Body.Close()
		target, why := c.redirectTarget(from, resp, n)
		if why != "" {
			return nil, "", c.redirectError(req, resp, from, why)
		}
		next := (&http.Request{Method: http.MethodGet, URL: target, Host: target.Host, Header: api.Header.Clone()}).WithContext(ctx)
		next.Header.Del("Cookie") // from the client's jar, for the API
		if resp, err = c.http.Do(next); err != nil {
			return nil, "", c.requestError(ctx, req, api, err)
		}
		resp.Request = api // errors name its path
		from, host = target, target.Scheme+"://"+target.Host
		c.logger.DebugContext(ctx, "a download was redirected", "operation", req.operation, "host", host, "status", resp.StatusCode)
	}
	return resp, host, nil
}

// redirectTarget returns the target of the n-th redirect in a row, without the token's
// parameter, or why it is not followed.
func (c *Client) redirectTarget(from *url.URL, resp *http.Response, n int) (target *url.URL, why string) {
	target, err := from.Parse(resp.Header.Get("Location"))
	if err != nil {
		return nil, "check the base URI"
	}
	if query := target.Query(); query.Has(tokenParameter) {
		query.Del(tokenParameter)
		target.RawQuery = query.Encode()
	}
	target.Fragment = ""
	query, _ := url.QueryUnescape(target.RawQuery)
	texts := strings.Join([]string{target.String(), target.Host, target.Path, query}, "\n")
	switch {
	case n > maxRedirects:
		return nil, "too many redirects in a row"
	case target.Scheme != "https" && (target.Scheme != "http" || c.baseURI.Scheme == "https"):
		return nil, "it does not lead to https"
	case c.redact(texts) != texts:
		return nil, "its URL contains the API token"
	}
	return target, ""
}

func (c *Client) redirectError(req request, resp *http.Response, from *url.URL, why string) *Error {
	shown := "an empty location" // without the query
	if target, err := from.Parse(resp.Header.Get("Location")); err == nil && resp.Header.Get("Location") != "" {
		target.User, target.RawQuery, target.Fragment = nil, "", ""
		shown = c.shorten(target.String(), 200)
	}
	return &Error{
		Operation: req.operation, Method: req.method, Path: resp.Request.URL.Path, StatusCode: resp.StatusCode,
		Message: "redirected to " + shown + ", which is not followed; " + why,
	}
}
