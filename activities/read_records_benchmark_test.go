package activities_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/scrapehaul/scrapehaul/activities"
)

func BenchmarkReadRecordsOfCSV(b *testing.B) {
	const rows = 100
	for shape, value := range map[string]string{"plain": "A Light in the Attic", "escaped": "a \"\"quote\"\"\nand a line"} {
		var file strings.Builder
		file.WriteString("web_scraper_order,title,price,description\n")
		for i := range rows {
			fmt.Fprintf(&file, "\"%d\",\"%s\",\"$1,299.00\",\"%s\"\n", i, value, strings.Repeat(value+" ", 10))
		}
		b.Run(shape, func(b *testing.B) {
			b.SetBytes(int64(file.Len()))
			b.ReportAllocs()
			for range b.N {
				for record, err := range activities.ReadRecords(strings.NewReader(file.String()), activities.FormatCSV, 0) {
					if err != nil || record.Rejected != "" {
						b.Fatal(err, record.Rejected)
					}
				}
			}
		})
	}
}
