package webscraper_test

import (
	"encoding/json"
	"fmt"
	"log"
	"strings"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

func ExampleRowReader_csv() {
	file := strings.NewReader("\ufeffweb-scraper-order,title,Color\r\n" +
		"\"1494492462-1\",\"Fluffy\nCat\",\"blue\"\r\n")
	rows := webscraper.NewRowReader(file, webscraper.FormatCSV, 0)
	for rows.Next() {
		row := rows.Row()
		if row.Err != nil {
			log.Fatalf("record %d at byte %d: %v", row.Number, row.Offset, row.Err)
		}
		for i, column := range row.Columns {
			fmt.Printf("%s: %q\n", column, row.Values[i])
		}
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// web-scraper-order: "1494492462-1"
	// title: "Fluffy\nCat"
	// Color: "blue"
}

func ExampleRowReader() {
	file := strings.NewReader("{\"product\":\"IdeaTab A3500L\"}\n{\"product\":\"Memo Pad HD 7\"}\n")
	var imported struct{ end, number int64 } // stored with the imported records
	for range 2 {
		rows := webscraper.ResumeRowReader(file, webscraper.FormatJSON, 0, imported.end, imported.number)
		if rows.Next() {
			row := rows.Row()
			var record struct{ Product string }
			if err := json.Unmarshal(row.Raw, &record); err != nil {
				log.Fatalf("record %d at byte %d: %v", row.Number, row.Offset, err)
			}
			fmt.Println(row.Number, record.Product)
			imported.end, imported.number = row.End, row.Number
		}
		if err := rows.Err(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 1 IdeaTab A3500L
	// 2 Memo Pad HD 7
}
