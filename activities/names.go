package activities

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/scrapehaul/scrapehaul/internal/jsontext"
)

// number makes names unique, as in the views: a repeated name gets the first free number
// (price, price_2).
func number(names []string) {
	taken, count := make(map[string]bool, len(names)), map[string]int{}
	for _, name := range names {
		taken[name] = true
	}
	for i, name := range names {
		for count[name]++; count[name] > 1; count[name]++ {
			if numbered := name + "_" + strconv.Itoa(count[name]); !taken[numbered] {
				names[i], taken[numbered] = numbered, true
				break
			}
		}
	}
}

// withUniqueNames returns the record, an object from the file, with unique names: jsonb
// would keep only the last value of a repeated name. It refuses records with a nested
// object that repeats a name. The sink rejects what is not JSON.
func (r *recordReader) withUniqueNames(record []byte) (unique []byte, refused string) {
	twice, inside := r.names.Twice(record)
	if !twice && inside == nil || !json.Valid(record) {
		return record, ""
	}
	if inside != nil {
		return record, fmt.Sprintf(`an object in it has "%s" twice`, inside)
	}
	var names []string
	for members := jsontext.MembersOf(record); ; {
		member, ok := members.Next()
		if !ok {
			break
		}
		_, name := jsontext.Unescape(nil, member.Key())
		names = append(names, string(name))
	}
	number(names)
	keys, members := encodeKeys(names), jsontext.MembersOf(record)
	r.object = r.object[:0]
	for _, key := range keys {
		member, _ := members.Next()
		r.object = append(append(r.object, key...), member.Value()...)
	}
	return append(r.object, '}'), ""
}
