package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
)

// JSON has no NaN and no infinities, but a run's counters may hold them (the
// best metric before the first validation is −Inf). plain and unplain carry
// them as the strings "NaN", "Infinity" and "-Infinity", anywhere in a value
// made of structs, slices, maps with string keys and plain types.

var (
	marshaler   = reflect.TypeFor[json.Marshaler]()
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

var oddNumbers = map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}

// marshal is json.MarshalIndent for values that may hold numbers which JSON lacks.
func marshal(v any) ([]byte, error) {
	return json.MarshalIndent(plain(reflect.ValueOf(v)), "", "  ")
}

// unmarshal is the reverse of marshal.
func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return err
	}
	return unplain(tree, reflect.ValueOf(v).Elem(), "")
}

func plain(v reflect.Value) any {
	if v.IsValid() && v.Type().Implements(marshaler) {
		return v.Interface()
	}
	switch v.Kind() {
	case reflect.Invalid:
		return nil
	case reflect.Interface, reflect.Pointer:
		return plain(v.Elem())
	case reflect.Float32, reflect.Float64:
		f := v.Float()
		switch {
		case math.IsNaN(f):
			return "NaN"
		case math.IsInf(f, 1):
			return "Infinity"
		case math.IsInf(f, -1):
			return "-Infinity"
		}
		return v.Interface()
	case reflect.Struct:
		return plainStruct(v)
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && (v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8) {
			return v.Interface() // null, base64
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for k, e := range v.Seq2() {
			out[k.String()] = plain(e)
		}
		return out
	}
	return v.Interface()
}

func plainStruct(v reflect.Value) map[string]any {
	out := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && !(options == "omitempty" && v.Field(i).IsZero()) {
			out[fieldName(f)] = plain(v.Field(i))
		}
	}
	return out
}

func unplain(tree any, v reflect.Value, path string) error {
	if v.Addr().Type().Implements(unmarshaler) {
		return unplainValue(tree, v, path)
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if s, ok := tree.(string); ok {
			f, known := oddNumbers[s]
			if !known {
				return fmt.Errorf("%s: %q is not a number", path, s)
			}
			v.SetFloat(f)
			return nil
		}
	case reflect.Struct:
		fields, ok := tree.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: an object was expected", path)
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if sub, ok := fields[fieldName(f)]; ok && f.IsExported() {
				if err := unplain(sub, v.Field(i), path+"."+fieldName(f)); err != nil {
					return err
				}
			}
		}
		return nil
	case reflect.Slice, reflect.Array:
		if items, ok := tree.([]any); ok {
			return unplainItems(items, v, path)
		}
	}
	return unplainValue(tree, v, path)
}

// unplainValue leaves a value without odd numbers to encoding/json.
func unplainValue(tree any, v reflect.Value, path string) error {
	text, err := json.Marshal(tree)
	if err == nil {
		err = json.Unmarshal(text, v.Addr().Interface())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func unplainItems(items []any, v reflect.Value, path string) error {
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	}
	if len(items) != v.Len() {
		return fmt.Errorf("%s: %d items where %d are expected", path, len(items), v.Len())
	}
	for i, item := range items {
		if err := unplain(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
			return err
		}
	}
	return nil
}

func fieldName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
		return name
	}
	return f.Name
}
