package webscraper_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper"
	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

func TestWrongTokenIsUnauthorized(t *testing.T) {
	cloud := webscrapertest.New(webscrapertest.Options{Tokens: []string{"another"}})
	client := newClient(t, cloud)
	_, err := client.Account(t.Context())
	require.True(t, webscraper.IsUnauthorized(err))
}

func TestAccount(t *testing.T) {
	client := newClient(t, answerJSON(`{"success":true,"data":{"email":"user@example.com","firstname":"John","lastname":"Deere","page_credits":500}}`))
	account, err := client.Account(t.Context())
	require.NoError(t, err)
	require.Equal(t, &webscraper.Account{Email: "user@example.com", FirstName: "John", LastName: "Deere", PageCredits: 500}, account)
}
