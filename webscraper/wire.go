package webscraper

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// decodeObject decodes an object into the struct that into points to, by the json tags
// of its fields. It accepts every spelling that the API has been seen or documented to
// use: a number as a number or a string, a boolean as 0/1 or true/false, an unset value
// as null.
func decodeObject(data []byte, into any) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	return decodeFields(object, into)
}

// decodeFields is decodeObject for an object that is already split into its fields.
func decodeFields(object map[string]json.RawMessage, into any) error {
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
	text := string(value)
	switch kind := field.Kind(); {
	case kind == reflect.Slice: // a json.RawMessage
		field.SetBytes(value)
		return nil
	case kind == reflect.Map || kind == reflect.Pointer:
		if text == "[]" { // an empty object, as PHP writes it
			return nil
		}
		return json.Unmarshal(value, field.Addr().Interface())
	case text[0] == '{' || text[0] == '[':
		return fmt.Errorf("%.40q is not a single value", text)
	case text[0] == '"':
		if err := json.Unmarshal(value, &text); err != nil {
			return err
		}
	case text == "null":
		return nil
	}
	if text == "" {
		return nil
	}
	want, isIt := "", true
	number, err := strconv.ParseFloat(text, 64)
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		truth, err := strconv.ParseBool(text)
		want, isIt = "boolean", err == nil
		field.SetBool(truth)
	case reflect.Int64:
		whole, inexact := strconv.ParseInt(text, 10, 64)
		if inexact != nil { // 4e9, or 10.0
			whole = int64(number)
		}
		want, isIt = "whole number", inexact == nil || err == nil && number == math.Trunc(number) && math.Abs(number) <= 1<<53
		field.SetInt(whole)
	case reflect.Float64:
		want, isIt = "number", err == nil
		field.SetFloat(number)
	}
	if !isIt {
		return fmt.Errorf("%.40q is not a %s", text, want)
	}
	return nil
}
