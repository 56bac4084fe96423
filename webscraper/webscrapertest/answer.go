package webscrapertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const perPage = 100

// answer is the body of every response but a download.
type answer struct {
	Success          bool                `json:"success"`
	Data             any                 `json:"data,omitempty"`
	Error            string              `json:"error,omitempty"`
	ValidationErrors map[string][]string `json:"validationErrors,omitempty"`
}

type pageAnswer struct {
	answer
	CurrentPage int `json:"current_page"`
	LastPage    int `json:"last_page"`
	Total       int `json:"total"`
	PerPage     int `json:"per_page"`
}

func writeData(w http.ResponseWriter, data any) {
	writeJSON(w, http.StatusOK, answer{Success: true, Data: data})
}

// writeError writes the service's error for everything but an invalid field, with the
// service's spelling.
func writeError(w http.ResponseWriter, status int) {
	writeJSON(w, status, answer{Error: "An error occured"})
}

// writeValidationErrors uses the default status of the service's framework: the service's
// own is not documented.
func writeValidationErrors(w http.ResponseWriter, errors map[string][]string) {
	writeJSON(w, http.StatusUnprocessableEntity, answer{ValidationErrors: errors})
}

// writePage writes the page of all that the page parameter asks for, by default the
// first. A page past the end is empty.
func writePage[T any](w http.ResponseWriter, r *http.Request, all []T) {
	page, err := strconv.Atoi(r.URL.Query().Get("page"))
	if err != nil || page < 1 {
		page = 1
	}
	lastPage := max(1, (len(all)+perPage-1)/perPage)
	data := []T{}
	if page <= lastPage {
		data = append(data, all[(page-1)*perPage:min(page*perPage, len(all))]...)
	}
	writeJSON(w, http.StatusOK, pageAnswer{
		answer:      answer{Success: true, Data: data},
		CurrentPage: page,
		LastPage:    lastPage,
		Total:       len(all),
		PerPage:     perPage,
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := phpJSON(value)
	if err != nil {
		panic(fmt.Sprintf("webscrapertest: encode %T: %s", value, err)) // all values are ours
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// phpJSON encodes like PHP's json_encode, which the service uses: compact, "/" escaped,
// everything outside ASCII as \u escapes.
func phpJSON(v any) ([]byte, error) {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	var escaped []byte
	for text := bytes.TrimSuffix(plain.Bytes(), []byte("\n")); len(text) > 0; {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case r == '/':
			escaped = append(escaped, `\/`...)
		case r < utf8.RuneSelf:
			escaped = append(escaped, byte(r))
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				escaped = fmt.Appendf(escaped, `\u%04x`, unit)
			}
		}
	}
	return escaped, nil
}
