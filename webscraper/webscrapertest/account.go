package webscrapertest

import "net/http"

// Account is whom the API tokens belong to.
type Account struct {
	Email       string `json:"email"`
	Firstname   string `json:"firstname"`
	Lastname    string `json:"lastname"`
	PageCredits int64  `json:"page_credits"`
}

func (c *Cloud) getAccount(w http.ResponseWriter, _ *http.Request) { writeData(w, c.options.Account) }
