package webscraper

import (
	"context"
	"net/http"
)

// Account is the owner of the API token.
type Account struct {
	Email, FirstName, LastName string
	// PageCredits is how many pages the account may still scrape.
	PageCredits int64
}

// Account returns the account that the client's token belongs to.
func (c *Client) Account(ctx context.Context) (*Account, error) {
	var account struct {
		Email       wireText `json:"email"`
		FirstName   wireText `json:"firstname"`
		LastName    wireText `json:"lastname"`
		PageCredits wireInt  `json:"page_credits"`
	}
	err := c.call(ctx, request{operation: "get account", method: http.MethodGet, path: "account"}, &account)
	if err != nil {
		return nil, err
	}
	return &Account{
		Email:       string(account.Email),
		FirstName:   string(account.FirstName),
		LastName:    string(account.LastName),
		PageCredits: int64(account.PageCredits),
	}, nil
}
