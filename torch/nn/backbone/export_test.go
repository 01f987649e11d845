package backbone

import "reflect"

// Paths returns the rates of all stochastic depth in a network, in the order of
// the blocks; branches that share one count once.
func Paths(n *Net) []float64 {
	var rates []float64
	seen := map[uintptr]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface:
			walk(v.Elem())
		case reflect.Pointer:
			if v.IsNil() || seen[v.Pointer()] || v.Type().Elem().PkgPath() != reflect.TypeFor[Net]().PkgPath() {
				return
			}
			seen[v.Pointer()] = true
			if v.Type() == reflect.TypeFor[*dropPath]() {
				rates = append(rates, v.Elem().FieldByName("P").Float())
				return
			}
			walk(v.Elem())
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(n.trunk))
	return rates
}
