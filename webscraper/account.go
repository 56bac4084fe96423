package webscraper

import (
	"context"
	"net/http"
)

// Account is the owner of the API token.
type Account struct {
	Email     string `json:"email"`
	FirstName string `json:"firstname"`
	LastName  string `json:"lastname"`
	// PageCredits is how many pages the account may still scrape.
	PageCredits int64 `json:"page_credits"`
}

// UnmarshalJSON decodes an account as the API spells it.
func (a *Account) UnmarshalJSON(data []byte) error { return decodeObject(data, a) }

// Account returns the account that the client's token belongs to.
func (c *Client) Account(ctx context.Context) (*Account, error) {
	return get[Account](ctx, c, request{operation: "get account", method: http.MethodGet, path: "account"})
}
