package config

import (
	_ "embed" // for the comments of the fields
	"encoding/json"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"reflect"
	"strings"
	"sync"
)

//go:embed run.go
var runSource string

// fieldComments reads the comments of the structs' fields, by type and field.
var fieldComments = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	f, err := parser.ParseFile(gotoken.NewFileSet(), "run.go", runSource, parser.ParseComments)
	if err != nil {
		return out // the file is compiled into this package, so it parses
	}
	ast.Inspect(f, func(n ast.Node) bool {
		t, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := t.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range s.Fields.List {
			for _, name := range field.Names {
				out[t.Name.Name+"."+name.Name] = strings.TrimSpace(field.Comment.Text())
			}
		}
		return true
	})
	return out
})

// JSONSchema describes the configuration files of the shipped tree's schema for
// editors (JSON Schema 2020-12): types, defaults, choices and comments. Every
// value may also be an interpolation.
func JSONSchema() ([]byte, error) {
	run := DefaultRun()
	s := schemaOf(reflect.ValueOf(run), "")
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "WildTrain configuration"
	properties := s["properties"].(map[string]any)
	properties["defaults"] = map[string]any{"type": "array", "description": "files to compose, in order"}
	properties["hydra"] = map[string]any{"type": "object"}
	return json.MarshalIndent(s, "", "  ")
}

// interpolated allows ${…} and ??? beside a type.
func interpolated(s map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{s, map[string]any{"type": "string", "pattern": `\$\{|^\?\?\?$`}}}
}

func schemaOf(v reflect.Value, key string) map[string]any {
	t := v.Type()
	switch t.Kind() {
	case reflect.Pointer:
		s := schemaOf(reflect.Zero(t.Elem()), key)
		return map[string]any{"anyOf": []any{s, map[string]any{"type": "null"}}}
	case reflect.Struct:
		properties := map[string]any{}
		for _, f := range fieldsOf(t) {
			value := v.FieldByIndex(f.index)
			p := schemaOf(value, joinKey(key, f.name))
			if value.Kind() != reflect.Struct {
				p["default"] = value.Interface()
			}
			if c := fieldComments()[owner(t, f)+"."+f.typ.Name]; c != "" {
				p["description"] = c
			}
			properties[f.name] = p
		}
		return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	case reflect.Slice:
		return interpolated(map[string]any{"type": "array", "items": schemaOf(reflect.Zero(t.Elem()), key)})
	case reflect.Map:
		return interpolated(map[string]any{"type": "object", "additionalProperties": schemaOf(reflect.Zero(t.Elem()), key)})
	case reflect.Bool:
		return interpolated(map[string]any{"type": "boolean"})
	case reflect.String:
		if list := choicesOf[key]; list != nil {
			return interpolated(map[string]any{"enum": list})
		}
		return map[string]any{"type": []string{"string", "number", "boolean"}}
	case reflect.Float64:
		return interpolated(map[string]any{"type": "number"})
	case reflect.Interface:
		return map[string]any{}
	}
	return interpolated(map[string]any{"type": "integer"})
}

// owner is the name of the struct that declares a field: t or one embedded in it.
func owner(t reflect.Type, f field) string {
	for _, i := range f.index[:len(f.index)-1] {
		t = t.Field(i).Type
	}
	return t.Name()
}

// Keys lists the full keys of the schema that hold values, in order: for shell
// completion and documentation.
func Keys() []string {
	var out []string
	var walk func(t reflect.Type, head string)
	walk = func(t reflect.Type, head string) {
		for _, f := range fieldsOf(t) {
			key := joinKey(head, f.name)
			if f.typ.Type.Kind() == reflect.Struct {
				walk(f.typ.Type, key)
				continue
			}
			out = append(out, key)
		}
	}
	walk(reflect.TypeFor[Run](), "")
	return out
}

// typeAt is the type at a dotted key of the schema, nil where it knows none; bad is
// the number of keys up to the first that it does not know, among whose siblings
// names are.
func typeAt(key string) (t reflect.Type, bad int, siblings []string) {
	t = reflect.TypeFor[Run]()
	for i, k := range splitKey(key) {
		switch t.Kind() {
		case reflect.Map:
			t = t.Elem()
			continue
		case reflect.Interface:
			continue
		case reflect.Struct:
		default:
			return nil, i + 1, nil
		}
		var next reflect.Type
		siblings = nil
		for _, f := range fieldsOf(t) {
			if siblings = append(siblings, f.name); f.name == k {
				next = f.typ.Type
			}
		}
		if next == nil {
			return nil, i + 1, siblings
		}
		t = next
	}
	return t, 0, nil
}

// inSchema reports whether a key is one of the schema's, or below a free mapping
// of it.
func inSchema(key string) bool {
	t, _, _ := typeAt(key)
	return t != nil
}

// misspelled names the first unknown part of a key, and what may have been meant:
// keys beside it, else keys of that name elsewhere.
func misspelled(key string) (wrong, hint string) {
	_, bad, siblings := typeAt(key)
	if bad == 0 {
		return key, ""
	}
	keys := splitKey(key)
	wrong, head, word := strings.Join(keys[:bad], "."), strings.Join(keys[:bad-1], "."), keys[bad-1]
	if hint = didYouMeanKey(head, word, siblings); hint != "" {
		return wrong, hint
	}
	var elsewhere []string
	for _, k := range Keys() {
		if last := k[strings.LastIndexByte(k, '.')+1:]; last == word && len(elsewhere) < maxNear {
			elsewhere = append(elsewhere, k)
		}
	}
	return wrong, didYouMeanOneOf(elsewhere)
}

// Values lists the values a key may take, nil where it is not one of a few.
func Values(key string) []string {
	var out []string
	for _, v := range choicesOf[key] {
		if v != "" {
			out = append(out, v)
		}
	}
	if t, _, _ := typeAt(key); out == nil && t != nil && t.Kind() == reflect.Bool {
		return []string{"true", "false"}
	}
	return out
}
