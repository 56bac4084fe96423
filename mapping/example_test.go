package mapping_test

import (
	"fmt"

	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/sink"
)

func Example() {
	mappings, err := mapping.Parse("mappings.yaml", []byte(`
mappings:
  - sitemap: books
    table: shop.books
    columns:
      - {name: url, from: product-link-href, type: text}
      - {name: price, type: numeric, clean: [empty-is-null, money]}
      - {name: stock, type: integer, clean: [first-number]}
    key: [url]
    mode: upsert
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	books := mappings.For(sink.DefaultAccount, "books")
	converter := books.NewConverter()
	for _, record := range []string{
		`{"product-link-href":"https:\/\/books.example\/1","price":"$1,299.00","stock":"12 in stock"}`,
		`{"product-link-href":"https:\/\/books.example\/2","price":"","stock":"sold out"}`,
	} {
		values, err := converter.Row([]byte(record))
		if err != nil {
			fmt.Println(err)
			continue
		}
		for i, value := range values {
			fmt.Printf("%s %s: %s\n", books.Columns[i].Name, books.Columns[i].Type.PostgreSQL(), value)
		}
	}
	// Output:
	// url text: https://books.example/1
	// price numeric: 1299.00
	// stock bigint: 12
	// column "stock": "sold out" has no number
}

func ExampleParse_problems() {
	_, err := mapping.Parse("mappings.yaml", []byte(`
mappings:
  - sitemap: books
    table: shop.books
    columns:
      - {name: url, type: txt}
    key: [link]
    mode: upsert
`))
	fmt.Println(err)
	// Output:
	// mappings.yaml:6: type is "txt": want one of text, numeric, integer, boolean, timestamp, jsonb
	// mappings.yaml:7: column "link" of the key is not one of the columns: want one of url
}
