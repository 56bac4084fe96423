package webscraper_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/scrapehaul/scrapehaul/webscraper"
)

func ExampleReadRecords() {
	file := strings.NewReader(`{"web-scraper-order":"1614248295-1","product":"IdeaTab A3500L","rating":4.50}
{"web-scraper-order":"1614248295-2","product":"Memo Pad HD 7","rating":null}
{"web-scraper-order":"1614248295-3","prod
`)
	for record, err := range webscraper.ReadRecords(file, webscraper.FormatJSON, 0) {
		var bad *webscraper.RecordError
		if errors.As(err, &bad) {
			fmt.Println("skipped:", err)
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d: %s %q\n", record.Number, record.Text("product"), record.Text("rating"))
	}
	// Output:
	// 1: IdeaTab A3500L "4.50"
	// 2: Memo Pad HD 7 ""
	// skipped: webscraper: line 3 (byte 155): not JSON at byte 41 of the line: unexpected end of JSON input
}

func ExampleReadRecords_csv() {
	file := strings.NewReader("\ufeffweb-scraper-order,title,Color\r\n" +
		"\"1494492462-1\",\"Fluffy\nCat\",\"blue\"\r\n")
	for record, err := range webscraper.ReadRecords(file, webscraper.FormatCSV, 0) {
		if err != nil {
			log.Fatal(err)
		}
		for _, field := range record.Fields {
			fmt.Printf("%s: %q\n", field.Column, field.Value)
		}
	}
	// Output:
	// web-scraper-order: "1494492462-1"
	// title: "Fluffy\nCat"
	// Color: "blue"
}

func ExampleRowReader() {
	file := strings.NewReader("{\"product\":\"IdeaTab A3500L\"}\n{\"product\":\"Memo Pad HD 7\"}\n")
	var imported struct{ end, number int64 } // kept with the imported records
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
