package postgres

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// benchmarkRecords returns 100 records of each of several shapes.
func benchmarkRecords(b *testing.B) map[string][][]byte {
	products, err := io.ReadAll(webscrapertest.Products(100, 1).Open())
	require.NoError(b, err)
	shapes := map[string][][]byte{"products": bytes.Split(bytes.TrimSpace(products), []byte("\n"))}
	text := strings.Repeat(`It is \"quoted\" at https:\/\/shop.example\/a, or not. `, 360)
	for i := range 100 {
		shapes["short"] = append(shapes["short"], fmt.Appendf(nil,
			`{"web-scraper-order":"1614248295-%d","sku":"A%07d","brand":"Acme","size":"%d","color":"red","stock":"%d","price":"$%d.99","sale":""}`, i, i, i, i, i))
		shapes["typed"] = append(shapes["typed"], fmt.Appendf(nil,
			`{"web-scraper-order":"1614248295-%d","price":%d.5,"old":null,"on":true,"size":"12\"","links":[{"href":"https:\/\/a.example\/","text":"a"}]}`, i, i))
		shapes["long"] = append(shapes["long"], fmt.Appendf(nil, `{"web-scraper-order":"1614248295-%d","text":"%s"}`, i, text))
	}
	return shapes
}

func benchmarkRecord(b *testing.B, each func(record []byte)) {
	for shape, records := range benchmarkRecords(b) {
		b.Run(shape, func(b *testing.B) {
			b.SetBytes(int64(len(records[0])))
			b.ReportAllocs()
			for i := range b.N {
				each(records[i%len(records)])
			}
		})
	}
}

func BenchmarkRecordWriter(b *testing.B) {
	var (
		w  recordWriter
		to []byte
	)
	benchmarkRecord(b, func(record []byte) { to = w.append(to[:0], record) })
}

func BenchmarkCheckRecord(b *testing.B) {
	benchmarkRecord(b, func(record []byte) {
		if err := CheckRecord(record); err != nil {
			b.Fatal(err)
		}
	})
}
