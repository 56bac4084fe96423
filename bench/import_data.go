package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/scrapehaul/scrapehaul/webscraper/webscrapertest"
)

// shape is a kind of records.
type shape struct {
	key     string // what precedes its keys in the JSON
	title   string
	records int
	write   func(w io.Writer, records int) error
}

func shapes(records int) []shape {
	long := max(1, records/40) // about as many bytes
	return []shape{
		{"", thousands(float64(records)) + " records of 520 bytes", records, writeProducts},
		{"short_columns.", thousands(float64(records)) + " records of 9 short columns", records, writing(shortColumns)},
		{"long_records.", thousands(float64(long)) + " records of 20 kB", long, writing(longRecords())},
	}
}

func writeProducts(w io.Writer, records int) error {
	_, err := io.Copy(w, webscrapertest.Products(records, 1).Open())
	return err
}

// writing writes records, one after the other.
func writing(record func(i int) string) func(io.Writer, int) error {
	return func(w io.Writer, records int) error {
		for i := range records {
			if _, err := io.WriteString(w, record(i)+"\n"); err != nil {
				return err
			}
		}
		return nil
	}
}

func shortColumns(i int) string {
	return fmt.Sprintf(`{"web-scraper-order":"1614248295-%d","sku":"A%07d","brand":"Acme","size":"%d","color":"red","stock":"%d",`+
		`"price":"$%d.99","rating":"%d","sale":""}`, i+1, i, i%50, i%1000, i%2000, i%5+1)
}

// words make texts that compress about as well as real ones.
var words = strings.Fields(`a the of and to in is that for it as with on by from at one page price product review shop article cheap
	new fast light quiet battery keyboard display camera processor warranty delivery catalogue https:\/\/webscraper.io\/ \"quoted\"
	refurbished anodised aluminium graphite microphone language Wednesday September 1024 4711 99.95`)

// texts returns distinct texts of at least n bytes.
func texts(length int) func() string {
	random := uint64(1)
	var text strings.Builder
	return func() string {
		text.Reset()
		for text.Len() < length {
			random = random*6364136223846793005 + 1442695040888963407 // Knuth's generator
			text.WriteString(words[random>>33%uint64(len(words))])
			text.WriteByte(' ')
		}
		return text.String()
	}
}

func longRecords() func(i int) string {
	text := texts(20_000)
	return func(i int) string {
		return fmt.Sprintf(`{"web-scraper-order":"1614248295-%d","title":"Article %d","text":"%s"}`, i+1, i+1, text())
	}
}

// spoolFile is the download's name in the dataset's folder.
const spoolFile = "records.json"

// dataset is the same records for all contenders.
type dataset struct {
	dir        string // with the download, as a spool
	records    int
	bytes      int64 // of the download
	sha256     string
	copyFile   string   // all records in COPY's text format
	splitFiles []string // the same, in as many files as there are cores
}

func prepare(shape shape, dir string) (*dataset, error) {
	d := &dataset{dir: filepath.Join(dir, "records"), records: shape.records}
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return nil, err
	}
	hash := sha256.New()
	err := writeFile(filepath.Join(d.dir, spoolFile), func(w io.Writer) error {
		return shape.write(io.MultiWriter(w, hash), shape.records)
	})
	if err != nil {
		return nil, err
	}
	d.sha256 = hex.EncodeToString(hash.Sum(nil))
	info, err := os.Stat(filepath.Join(d.dir, spoolFile))
	if err != nil {
		return nil, err
	}
	d.bytes = info.Size()
	return d, d.prepareCopy()
}

// prepareCopy writes what psql reads.
func (d *dataset) prepareCopy() error {
	cores := runtime.NumCPU()
	d.copyFile = filepath.Join(d.dir, "records.copy")
	if err := d.writeCopy(d.copyFile, 0, d.records); err != nil {
		return err
	}
	for i := range cores {
		name := filepath.Join(d.dir, fmt.Sprintf("records-%d.copy", i))
		if err := d.writeCopy(name, d.records*i/cores, d.records*(i+1)/cores); err != nil {
			return err
		}
		d.splitFiles = append(d.splitFiles, name)
	}
	return nil
}

// writeCopy writes the records after the first from up to the to-th.
func (d *dataset) writeCopy(name string, from, to int) error {
	download, err := os.Open(filepath.Join(d.dir, spoolFile))
	if err != nil {
		return err
	}
	defer download.Close()
	lines := lineScanner(download)
	return writeFile(name, func(w io.Writer) error {
		for number := 1; number <= to && lines.Scan(); number++ {
			if number <= from {
				continue
			}
			// JSON holds no raw tab or newline.
			if _, err := fmt.Fprintf(w, "1\t%d\t%s\n", number, bytes.ReplaceAll(lines.Bytes(), []byte(`\`), []byte(`\\`))); err != nil {
				return err
			}
		}
		return lines.Err()
	})
}

// writeFile writes a file through a buffer, to the disk: what is still to be
// written back must not fall into the time of a contender.
func writeFile(name string, write func(io.Writer) error) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	buffered := bufio.NewWriterSize(file, 1<<20)
	if err := write(buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return file.Sync()
}
