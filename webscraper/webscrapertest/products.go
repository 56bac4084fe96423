package webscrapertest

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// productSize is the length of every line of Products, "\n" included. As all lines have
// the same length, a job of any size knows its Content-Length and serves any byte range
// without generating what comes before.
const productSize = 520

// Products returns n records of a made-up shop, 520 bytes each, in the encoding of the
// real download: compact, "/" escaped as `\/`, every value a string, a missing element "".
// The same seed always gives the same bytes; another seed gives another scrape of the same
// shop: the same products, by product-href, with other prices and its own
// web-scraper-order. They are generated on the fly, so millions of them need no memory.
// It panics if n is negative.
func Products(n int, seed int64) Records {
	if n < 0 {
		panic(fmt.Sprintf("webscrapertest: Products: n is %d, want at least 0", n))
	}
	return Records{count: int64(n), src: newProducts(seed, 0)}
}

// NextProducts returns n records of [Products] as the sitemap's next scrape would find
// them: each earlier scrape of the sitemap, and each continuation, has changed one price in
// ten and replaced one product in twenty.
func (c *Cloud) NextProducts(sitemapID int64, n int) Records {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Records{count: int64(n), src: newProducts(sitemapID, c.scrapes(sitemapID))}
}

// scrapes counts the scrapes of a sitemap so far. The caller holds c.mu.
func (c *Cloud) scrapes(sitemapID int64) (n int64) {
	for _, j := range c.jobs {
		if j.SitemapID == sitemapID {
			n += 1 + j.continues
		}
	}
	return n
}

func newProducts(seed, scrape int64) *products {
	// Unix seconds of the run, different for nearly every seed.
	started := 1_600_000_000 + splitmix64(uint64(seed+scrape))%100_000_000
	return &products{
		seed:   seed,
		scrape: scrape,
		prefix: `{"web-scraper-order":"` + strconv.FormatUint(started, 10) + "-",
	}
}

type products struct {
	seed   int64
	scrape int64 // of the shop, from 0
	prefix string
}

func (p *products) identity() string { return fmt.Sprintf("products %d %d", p.seed, p.scrape) }

func (p *products) open(n int64) io.ReadSeeker {
	return io.NewSectionReader(p, 0, n*productSize)
}

// ReadAt generates the lines at the offset. They never end.
func (p *products) ReadAt(buf []byte, offset int64) (read int, err error) {
	var line [productSize]byte
	for read < len(buf) {
		number, skip := offset/productSize, offset%productSize
		var n int
		if rest := buf[read:]; skip == 0 && len(rest) >= productSize {
			n = len(p.append(rest[:0:productSize], number))
		} else {
			n = copy(rest, p.append(line[:0], number)[skip:])
		}
		read += n
		offset += int64(n)
	}
	return read, nil
}

// append adds the line of one product, counted from 0, to a slice with room
// for it.
func (p *products) append(line []byte, number int64) []byte {
	place := number
	number += (p.scrape + place%20) / 20 * 1_000_000
	ware := splitmix64(uint64(number))
	product := &catalogue[ware%uint64(len(catalogue))]
	random := splitmix64(uint64(p.seed) ^ ware)
	pick := func(n int) int {
		random = splitmix64(random)
		return int(random % uint64(n))
	}
	start := len(line)

	line = append(line, p.prefix...)
	// The service does not write in order; the exclusive or keeps numbers unique.
	line = strconv.AppendInt(line, place^5+1, 10)
	line = append(line, product.page...)
	line = strconv.AppendInt(line, number+1, 10)
	line = append(line, `","price":"$`...)
	price := int64(49 + pick(2400))
	// The length stays, so that the rest of the record does too.
	line = strconv.AppendInt(line, price-price%10+(price+3*((p.scrape+place%8)/8))%10, 10)
	line = append(line, ".99"...)
	line = append(line, `","reviews":"`...)
	if reviews := pick(20); reviews > 0 { // else a missing element
		line = strconv.AppendInt(line, int64(reviews), 10)
		line = append(line, " reviews"...)
	}
	line = append(line, `","rating":"`...)
	line = append(line, byte('1'+pick(5)))
	line = append(line, `","image-src":"https:\/\/webscraper.io\/images\/test-sites\/e-commerce\/items\/`...)
	line = append(line, product.image...)
	line = append(line, `","description":"`...)

	// The description is cut to fill the line, as shops cut theirs.
	const end = `..."}` + "\n"
	fill := productSize - (len(line) - start) - len(end)
	from := sentences[pick(len(sentences))]
	line = append(line, descriptions[from:from+fill]...)
	return append(line, end...)
}

// splitmix64 is the random number generator of that name.
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// catalogueEntry is the part of a record that depends only on the product.
type catalogueEntry struct{ page, image string }

var catalogue = func() []catalogueEntry {
	var entries []catalogueEntry
	for _, shelf := range []struct{ category, subcategory, path, image, names string }{
		{"Computers", "Laptops", `computers\/laptops`, "cart2.png",
			"Asus VivoBook X441NA,Lenovo V110-15IAP,Dell Inspiron 15 3567,HP 250 G6 Dark Ash,Acer Aspire ES1-572,Toshiba Portege Z30"},
		{"Computers", "Tablets", `computers\/tablets`, "tablet3.png",
			"IdeaTab A3500L,Galaxy Tab 3 16GB,Iconia B1-730HD,MeMO Pad HD 7,Asus ZenPad 10,Memo Pad HD 10"},
		{"Phones", "Touch", `phones\/touch`, "phone7.png",
			"Nokia 123,LG Optimus L9,Samsung Galaxy S4,Sony Xperia Z1,Ubuntu Edge 64GB,Iphone 5s 32GB"},
	} {
		for name := range strings.SplitSeq(shelf.names, ",") {
			entries = append(entries, catalogueEntry{
				page: `","web-scraper-start-url":"https:\/\/webscraper.io\/test-sites\/e-commerce\/allinone` +
					`","category":"` + shelf.category + `","subcategory":"` + shelf.subcategory +
					`","product":"` + name +
					`","product-href":"https:\/\/webscraper.io\/test-sites\/e-commerce\/allinone\/` + shelf.path + `\/`,
				image: shelf.image,
			})
		}
	}
	return entries
}()

// descriptions is the text that product descriptions are cut from. It needs no JSON
// escapes.
const descriptions = `Dual core processor with fast storage and an anti-glare display. ` +
	`Ships with a two year warranty and free returns within thirty days. ` +
	`Light enough for every bag and quiet under load. ` +
	`Battery for a full working day of reading and writing. ` +
	`Wireless network, two cameras, and a card reader for more room. ` +
	`Refurbished by the maker and tested part by part. ` +
	`Keyboard with backlight and a precise touchpad. ` +
	`Case of brushed aluminium in silver, graphite or rose. ` +
	`Comes with charger, cable and a printed guide in six languages. ` +
	`Loud speakers and a clear microphone for calls.`

// sentences are the starts of the sentences of descriptions, except the last few, which
// are too close to the end to fill a line.
var sentences = func() []int {
	starts := []int{0}
	for i := 0; i < len(descriptions)-productSize/2; i++ {
		if descriptions[i] == '.' {
			starts = append(starts, i+2)
		}
	}
	return starts
}()
