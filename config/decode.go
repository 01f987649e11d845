package config

import (
	"encoding"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Decode reads a tree into the struct that dst points to, over the values that
// are there: keys that are absent keep their default, and a zero that is given is
// a zero. Fields are named by their yaml tag, else by their name in lower case.
// Unknown keys, wrong types and values that must be given ("???") are errors; all
// of them are found and returned together as Errors.
//
// Types convert as OmegaConf's do: an int takes 3 and "3" but not 3.0 or true; a
// float takes ints and "1e3"; a bool takes true, yes, on, 1 and their opposites;
// a string takes numbers and bools; a pointer takes null. Lists and mappings
// convert element by element.
//
// Interpolations in n are resolved with the built-in resolvers.
func Decode(n *Node, dst any) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return problem("Decode needs a pointer, not %T", dst)
	}
	d := &decoder{eval: newEvaluator(newEnvironment(&Options{}))}
	d.decode(n, v.Elem())
	return d.errors.orNil()
}

type decoder struct {
	eval   *evaluator
	errors Errors
}

func (d *decoder) fail(n *Node, format string, args ...any) {
	d.errors = append(d.errors, errorAt(n, format, args...))
}

var (
	durationType    = reflect.TypeFor[time.Duration]()
	nodeType        = reflect.TypeFor[*Node]()
	unmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func (d *decoder) decode(n *Node, v reflect.Value) {
	r, err := d.eval.deref(n)
	if err != nil {
		if x, ok := err.(*Error); ok {
			d.errors = append(d.errors, x)
		} else {
			d.fail(n, "%v", err)
		}
		return
	}
	if r.Missing() {
		d.fail(n, "a value must be given (it is \"???\")")
		return
	}
	if v.Type() == nodeType {
		v.Set(reflect.ValueOf(r))
		return
	}
	if v.Kind() == reflect.Pointer {
		d.pointer(n, r, v)
		return
	}
	if reflect.PointerTo(v.Type()).Implements(unmarshalerType) {
		if r.container() || r.kind == Null {
			d.fail(n, "must be text, not %s", r.kind)
		} else if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(pyStr(r.value))); err != nil {
			d.fail(n, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, r, v)
	case reflect.Slice, reflect.Array:
		d.list(n, r, v)
	case reflect.Map:
		d.mapping(n, r, v)
	case reflect.Interface:
		d.free(n, r, v)
	default:
		d.scalar(n, r, v)
	}
}

func (d *decoder) pointer(n, r *Node, v reflect.Value) {
	if r.kind == Null {
		v.SetZero()
		return
	}
	p := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		p.Elem().Set(v.Elem())
	}
	d.decode(n, p.Elem())
	v.Set(p)
}

func (d *decoder) free(n, r *Node, v reflect.Value) {
	full, err := d.eval.resolveTree(r)
	if err != nil {
		d.fail(n, "%v", err)
		return
	}
	value := full.Value()
	switch {
	case value == nil:
		v.SetZero()
	case reflect.TypeOf(value).AssignableTo(v.Type()):
		v.Set(reflect.ValueOf(value))
	default:
		d.fail(n, "a %s does not fit here", r.kind)
	}
}

// field is a decodable field of a struct.
type field struct {
	name  string
	index []int
	typ   reflect.StructField
}

// fieldsOf lists the fields of a struct; embedded structs without a tag are
// flattened.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
			continue
		case name == "":
			name = strings.ToLower(f.Name)
		}
		out = append(out, field{name, []int{i}, f})
	}
	return out
}

func (d *decoder) structure(n, r *Node, v reflect.Value) {
	if r.kind != Dict {
		d.fail(n, "must be a mapping, not %s", r.kind)
		return
	}
	fields := fieldsOf(v.Type())
	for i, k := range r.keys {
		name, item := pyStr(k), r.items[i]
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if at < 0 {
			x := errorAt(item, "unknown key")
			names := make([]string, len(fields))
			for j, f := range fields {
				names[j] = f.name
			}
			x.Hint = didYouMeanKey(strings.TrimSuffix(strings.TrimSuffix(x.Key, name), "."), name, names)
			d.errors = append(d.errors, x)
			continue
		}
		d.decode(item, v.FieldByIndex(fields[at].index))
	}
}

func (d *decoder) list(n, r *Node, v reflect.Value) {
	if r.kind != List {
		d.fail(n, "must be a list, not %s", r.kind)
		return
	}
	if v.Kind() == reflect.Array {
		if v.Len() != r.Len() {
			d.fail(n, "must have %d entries, not %d", v.Len(), r.Len())
			return
		}
	} else {
		v.Set(reflect.MakeSlice(v.Type(), r.Len(), r.Len()))
	}
	for i, item := range r.items {
		d.decode(item, v.Index(i))
	}
}

func (d *decoder) mapping(n, r *Node, v reflect.Value) {
	if r.kind != Dict {
		d.fail(n, "must be a mapping, not %s", r.kind)
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), r.Len())
	for i, k := range r.keys {
		key := reflect.New(v.Type().Key()).Elem()
		keyNode, err := fromValue(k, r.items[i].place)
		if err != nil {
			d.fail(r.items[i], "%v", err)
			continue
		}
		keyNode.parent, keyNode.key = r, k
		d.decode(keyNode, key)
		value := reflect.New(v.Type().Elem()).Elem()
		d.decode(r.items[i], value)
		m.SetMapIndex(key, value)
	}
	v.Set(m)
}

func (d *decoder) scalar(n, r *Node, v reflect.Value) {
	if r.container() || r.kind == Null {
		d.fail(n, "must be %s, not %s", typeName(v.Type()), r.kind)
		return
	}
	ok, why := false, ""
	switch {
	case v.Type() == durationType:
		ok = setDuration(r, v)
	case v.Kind() == reflect.String:
		v.SetString(pyStr(r.value))
		ok = true
	case v.Kind() == reflect.Bool:
		var b bool
		if b, ok = toBool(r.value); ok {
			v.SetBool(b)
		}
	case v.CanInt() || v.CanUint():
		ok, why = setInt(r.value, v)
	case v.CanFloat():
		var f float64
		if f, ok = asFloat(r.value); ok {
			v.SetFloat(f)
		}
	default:
		why = fmt.Sprintf(" (the field's type %s is not supported)", v.Type())
	}
	if !ok {
		d.fail(n, "must be %s, not %s%s", typeName(v.Type()), pyRepr(r.value), why)
	}
}

func typeName(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 30s or 1h"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr:
		return "a whole number"
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		return "a number"
	}
	return t.String()
}

func setDuration(r *Node, v reflect.Value) bool {
	if f, ok := asFloat(r.value); ok { // plain numbers are seconds
		v.SetInt(int64(f * float64(time.Second)))
		return true
	}
	s, ok := r.value.(string)
	t, err := time.ParseDuration(s)
	if !ok || err != nil {
		return false
	}
	v.SetInt(int64(t))
	return true
}

// toBool converts as OmegaConf's BooleanNode.
func toBool(value any) (b, ok bool) {
	switch x := value.(type) {
	case bool:
		return x, true
	case int64:
		return x != 0, true
	case *big.Int:
		return x.Sign() != 0, true
	case string:
		switch strings.ToLower(x) {
		case "yes", "y", "on", "true", "1":
			return true, true
		case "no", "n", "off", "false", "0":
			return false, true
		}
	}
	return false, false
}

func setInt(value any, v reflect.Value) (ok bool, why string) {
	if s, text := value.(string); text {
		parsed, err := pyIntText(s)
		if err != nil {
			return false, ""
		}
		value = parsed
	}
	big, isBig := value.(*big.Int)
	i, whole := value.(int64)
	switch {
	case v.CanUint() && isBig && big.IsUint64() && !v.OverflowUint(big.Uint64()):
		v.SetUint(big.Uint64())
	case isBig:
		return false, " (out of range)"
	case !whole:
		return false, ""
	case v.CanUint():
		if i < 0 || v.OverflowUint(uint64(i)) {
			return false, " (out of range)"
		}
		v.SetUint(uint64(i))
	default:
		if v.OverflowInt(i) {
			return false, " (out of range)"
		}
		v.SetInt(i)
	}
	return true, ""
}

// asFloat converts as OmegaConf's FloatNode.
func asFloat(value any) (float64, bool) {
	switch x := value.(type) {
	case float64:
		return x, true
	case int64, *big.Int:
		f := toFloat(x)
		return f, !math.IsInf(f, 0)
	case string:
		v, err := castFloat(x)
		if err != nil {
			return 0, false
		}
		f, ok := v.(float64)
		return f, ok
	}
	return 0, false
}
