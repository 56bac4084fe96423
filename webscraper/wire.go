package webscraper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// The types of this file decode what the API has been seen or documented to
// spell in more than one way: a number as a number or a string, a truth value
// as 0/1 or true/false, an unset value as null.

// wireInt is a whole number; null and "" are 0.
type wireInt int64

func (i *wireInt) UnmarshalJSON(data []byte) error {
	return decodeScalar(data, i, "a whole number", func(text string) (wireInt, bool) {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return wireInt(n), true
		}
		f, err := strconv.ParseFloat(text, 64)
		return wireInt(f), err == nil && f == math.Trunc(f) && math.Abs(f) <= 1<<53
	})
}

// wireFloat is a number; null and "" are 0.
type wireFloat float64

func (f *wireFloat) UnmarshalJSON(data []byte) error {
	return decodeScalar(data, f, "a number", func(text string) (wireFloat, bool) {
		n, err := strconv.ParseFloat(text, 64)
		return wireFloat(n), err == nil
	})
}

// wireBool is a truth value; null and "" are false.
type wireBool bool

func (b *wireBool) UnmarshalJSON(data []byte) error {
	return decodeScalar(data, b, "a truth value", func(text string) (wireBool, bool) {
		v, err := strconv.ParseBool(text)
		return wireBool(v), err == nil
	})
}

// decodeScalar sets into to what parse makes of the text of a single value, and to zero
// for null and "".
func decodeScalar[T any](data []byte, into *T, what string, parse func(text string) (value T, ok bool)) error {
	var value T
	text, err := scalarText(data)
	if err == nil && text != "" {
		var ok bool
		if value, ok = parse(text); !ok {
			return fmt.Errorf("%.40q is not %s", text, what)
		}
	}
	*into = value
	return err
}

// wireText is a text; null is "", and a number its digits.
type wireText string

func (t *wireText) UnmarshalJSON(data []byte) error {
	text, err := scalarText(data)
	*t = wireText(text)
	return err
}

// scalarText returns the text of a JSON string, number or truth value, and ""
// for null.
func scalarText(data []byte) (string, error) {
	switch {
	case bytes.Equal(data, []byte("null")):
		return "", nil
	case data[0] == '"':
		var text string
		err := json.Unmarshal(data, &text)
		return text, err
	case data[0] == '{' || data[0] == '[':
		return "", fmt.Errorf("%.40q is not a single value", data)
	default:
		return string(data), nil
	}
}
