package webscraper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// decodeObject decodes an object into the struct that into points to, by the json tags
// of its fields. It takes what the API has been seen or documented to spell in more than
// one way: a number as a number or a string, a truth value as 0/1 or true/false, an
// unset value as null.
func decodeObject(data []byte, into any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	fields := reflect.ValueOf(into).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Tag.Get("json")
		if value, there := object[name]; there {
			if err := decodeField(value, fields.Field(i)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// decodeField sets a field to a value; null and "" leave it zero.
func decodeField(value json.RawMessage, field reflect.Value) error {
	switch field.Kind() {
	case reflect.Slice: // itself a json.RawMessage
		field.SetBytes(value)
		return nil
	case reflect.Map, reflect.Pointer: // PHP writes an empty object as []
		if string(value) == "[]" {
			return nil
		}
		return json.Unmarshal(value, field.Addr().Interface())
	}
	text, err := scalarText(value)
	if err != nil || text == "" {
		return err
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		truth, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%.40q is not a truth value", text)
		}
		field.SetBool(truth)
	case reflect.Int64:
		whole, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
				return fmt.Errorf("%.40q is not a whole number", text)
			}
			whole = int64(f)
		}
		field.SetInt(whole)
	case reflect.Float64:
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%.40q is not a number", text)
		}
		field.SetFloat(number)
	}
	return nil
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
