package webscrapertest

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// scrapedRecords are a created job's records, generated when they are opened.
type scrapedRecords struct {
	products  *products
	startURLs []string
	rows      [][]string // the columns of each record of a start URL
}

func (s *scrapedRecords) identity() string { return "scraped " + s.products.identity() }

func (s *scrapedRecords) open(n int64) io.ReadSeeker {
	var body strings.Builder
	for number := range n {
		s.write(&body, number)
	}
	return strings.NewReader(body.String())
}

// write writes the record with this number, from 0.
func (s *scrapedRecords) write(body *strings.Builder, number int64) {
	perStartURL := int64(len(s.rows))
	startURL := s.startURLs[number/perStartURL]
	var values map[string]string
	_ = json.Unmarshal(s.products.append(nil, number), &values) // is valid
	values[builtInColumns[1]] = startURL
	separator := byte('{')
	written := make(map[string]bool) // a selector of several parents has one column
	for _, column := range append(builtInColumns[:2:2], s.rows[number%perStartURL]...) {
		if written[column] {
			continue
		}
		written[column] = true
		value, known := values[column]
		if !known {
			value = fmt.Sprintf("%s %d", column, number+1)
			if strings.HasSuffix(column, "-href") || strings.HasSuffix(column, "-src") {
				value = fmt.Sprintf("%s#%s-%d", startURL, column, number+1)
			}
		}
		key, _ := phpJSON(column) // no string fails to encode
		text, _ := phpJSON(value)
		fmt.Fprintf(body, "%c%s:%s", separator, key, text)
		separator = ','
	}
	body.WriteString("}\n")
}
