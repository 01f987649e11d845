package config

import (
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/wildtrain/sdk/internal/yamlsafe"
)

// Plain scalars are read by YAML 1.1 as PyYAML does, with OmegaConf's two
// changes: 1e3 is a float, dates are text.
var (
	yamlBool  = map[string]bool{"yes": true, "Yes": true, "YES": true, "no": false, "No": false, "NO": false, "true": true, "True": true, "TRUE": true, "false": false, "False": false, "FALSE": false, "on": true, "On": true, "ON": true, "off": false, "Off": false, "OFF": false}
	yamlInt   = regexp.MustCompile(`^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	yamlFloat = regexp.MustCompile(`^(?:[-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)|\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?|[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
	// PyYAML's own float pattern, which its resolver tries before OmegaConf's.
	yamlFloatBase = regexp.MustCompile(`^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// implicitTag is the tag that a plain scalar gets.
func implicitTag(s string) string {
	switch s {
	case "":
		return "!!null"
	case "=", "<<":
		return "!!merge" // only a key may be that
	}
	switch c := s[0]; {
	case strings.IndexByte("yYnNtTfFoO", c) >= 0:
		if _, ok := yamlBool[s]; ok {
			return "!!bool"
		}
		fallthrough
	case c == '~':
		switch s {
		case "~", "null", "Null", "NULL":
			return "!!null"
		}
	case strings.IndexByte("-+0123456789.", c) >= 0:
		if yamlFloatBase.MatchString(s) {
			return "!!float"
		}
		if yamlInt.MatchString(s) {
			return "!!int"
		}
		if yamlFloat.MatchString(s) {
			return "!!float"
		}
	}
	return "!!str"
}

// scalar resolves a YAML scalar to nil, bool, int64, *big.Int, float64 or string.
func scalar(n *yamlsafe.Node, file string) (any, error) {
	tag := n.Tag
	if tag == "" || tag == "!" {
		tag = "!!str"
		if n.Plain && n.Tag == "" {
			tag = implicitTag(n.Value)
		}
	}
	v, ok := scalarAs(strings.TrimPrefix(tag, "tag:yaml.org,2002:"), n.Value)
	if !ok {
		e := n.Errorf(file, "%q cannot be read as %s", n.Value, tag)
		if !strings.HasPrefix(tag, "!!") {
			e = n.Errorf(file, "unknown tag %s", tag)
		}
		return nil, fromYAML(e)
	}
	return v, nil
}

func scalarAs(tag, s string) (any, bool) {
	switch strings.TrimPrefix(tag, "!!") {
	case "str":
		return s, true
	case "null":
		return nil, true
	case "bool":
		b, ok := yamlBool[strings.ToLower(s)]
		return b, ok
	case "int":
		return parseYAMLInt(s)
	case "float":
		return parseYAMLFloat(s)
	}
	return nil, false
}

func parseYAMLInt(s string) (any, bool) {
	s = strings.ReplaceAll(s, "_", "")
	sign := int64(1)
	switch {
	case strings.HasPrefix(s, "-"):
		sign, s = -1, s[1:]
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	v := new(big.Int)
	switch {
	case s == "":
		return nil, false
	case strings.HasPrefix(s, "0b"):
		if _, ok := v.SetString(s[2:], 2); !ok {
			return nil, false
		}
	case strings.HasPrefix(s, "0x"):
		if _, ok := v.SetString(s[2:], 16); !ok {
			return nil, false
		}
	case s[0] == '0':
		if _, ok := v.SetString(s, 8); !ok {
			return nil, false
		}
	case strings.Contains(s, ":"):
		if !sexagesimalInt(v, s) {
			return nil, false
		}
	default:
		if len(s) > maxDigits {
			return nil, false
		}
		if _, ok := v.SetString(s, 10); !ok {
			return nil, false
		}
	}
	return shrink(v.Mul(v, big.NewInt(sign))), true
}

// maxDigits is the length above which Python refuses decimal integers.
const maxDigits = 4300

// maxSexagesimal bounds the parts of a number such as 1:30:15, whose value grows
// with each part.
const maxSexagesimal = 200

func sexagesimalInt(v *big.Int, s string) bool {
	parts := strings.Split(s, ":")
	if len(parts) > maxSexagesimal || len(s) > maxDigits {
		return false
	}
	for _, part := range parts {
		d, ok := new(big.Int).SetString(part, 10)
		if !ok {
			return false
		}
		v.Add(v.Mul(v, big.NewInt(60)), d)
	}
	return true
}

// shrink gives int64 where it fits.
func shrink(v *big.Int) any {
	if v.IsInt64() {
		return v.Int64()
	}
	return v
}

func parseYAMLFloat(s string) (any, bool) {
	s = strings.ToLower(strings.ReplaceAll(s, "_", ""))
	sign := 1.0
	switch {
	case strings.HasPrefix(s, "-"):
		sign, s = -1, s[1:]
	case strings.HasPrefix(s, "+"):
		s = s[1:]
	}
	switch s {
	case ".inf":
		return sign * math.Inf(1), true
	case ".nan":
		return math.NaN(), true
	}
	if strings.Contains(s, ":") {
		total, base := 0.0, 1.0
		parts := strings.Split(s, ":")
		for i := len(parts) - 1; i >= 0; i-- {
			f, ok := parseFloat(parts[i])
			if !ok {
				return nil, false
			}
			total += f * base
			base *= 60
		}
		return sign * total, true
	}
	f, ok := parseFloat(s)
	return sign * f, ok
}

// parseFloat is Python's float() of decimal digits: too large is infinite.
func parseFloat(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && (!math.IsInf(f, 0) || strings.ContainsAny(s, "xXpPiI")) {
		return 0, false
	}
	return f, true
}

// fromYAMLNode turns a parsed file into a tree.
func fromYAMLNode(y *yamlsafe.Node, file string) (*Node, error) {
	p := &place{file: file, line: y.Line, column: y.Column}
	switch y.Kind {
	case yamlsafe.Mapping:
		return mappingNode(y, file, p)
	case yamlsafe.Sequence:
		if y.Tag != "" && y.Tag != "!!seq" {
			return nil, fromYAML(y.Errorf(file, "unknown tag %s", y.Tag))
		}
		list := newList(p)
		for _, item := range y.Items {
			c, err := fromYAMLNode(item, file)
			if err != nil {
				return nil, err
			}
			list.push(c)
		}
		return list, nil
	}
	v, err := scalar(y, file)
	if err != nil {
		return nil, err
	}
	n, err := fromValue(v, p)
	if err != nil {
		e := &Error{File: file, Line: y.Line, Column: y.Column, Message: err.Error()}
		return nil, e
	}
	return n, nil
}

func mappingNode(y *yamlsafe.Node, file string, p *place) (*Node, error) {
	if y.Tag != "" && y.Tag != "!!map" {
		return nil, fromYAML(y.Errorf(file, "unknown tag %s", y.Tag))
	}
	dict := newDict(p)
	for _, pair := range y.Pairs {
		k, err := scalar(pair.Key, file)
		if pair.Key.Plain && pair.Key.Value == "=" { // only as a value it has another meaning
			k, err = "=", nil
		}
		if err != nil {
			return nil, err
		}
		if k == nil {
			return nil, fromYAML(pair.Key.Errorf(file, "null cannot be a key"))
		}
		c, err := fromYAMLNode(pair.Value, file)
		if err != nil {
			return nil, err
		}
		c.place = &place{file: file, line: pair.Key.Line, column: pair.Key.Column}
		dict.set(k, c)
	}
	return dict, nil
}
