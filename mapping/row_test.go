package mapping_test

import (
	"testing"
	_ "time/tzdata" // a machine without it runs the tests too

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/mapping"
)

// row converts a record, NULL being "NULL".
func row(t *testing.T, m *mapping.Mapping, record string) []string {
	t.Helper()
	values, err := m.NewConverter().Row([]byte(record))
	require.NoError(t, err, record)
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = "NULL"
		if value != nil {
			texts[i] = string(value)
		}
	}
	return texts
}

func TestRecordBecomesARow(t *testing.T) {
	mappings, err := mapping.ReadFile("testdata/mappings.yaml")
	require.NoError(t, err)
	require.Equal(t, []string{
		"https://books.example/1", "Light in the Attic", "1299.00", "22", "true", "2026-11-24T15:04:00+02:00", `{"pages": 12}`,
	}, row(t, mappings.For("books"), `{"web-scraper-order":"1614248295-1","product-link-href":"https:\/\/books.example\/1",
		"product":" Light  in the\u00a0Attic","price":"$1,299.00","stock":"In stock (22 available)","availability":"Yes",
		"seen_at":"24\/11\/2026 15:04","details":{"pages": 12}}`))
	require.Equal(t, []string{
		"https://books.example/2", "Soumission", "NULL", "NULL", "NULL", "NULL", "NULL",
	}, row(t, mappings.For("books"), `{"product-link-href":"https:\/\/books.example\/2","product":"Soumission","price":"null","stock":"","details":null}`))
	require.Equal(t, []string{"1614248295-1", "1299.5"},
		row(t, mappings.For("shop-eu"), `{"web_scraper_order":"1614248295-1","price":"1.299,5 €"}`))
}
