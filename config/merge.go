package config

import "fmt"

// merge puts src into dst, both of the same container kind, by OmegaConf's
// rules: mappings deeply, lists by replacement, "???" never over a value. strict
// refuses keys that dst lacks. src is not used afterwards.
func (e *evaluator) merge(dst, src *Node, strict bool) error {
	if dst.kind != src.kind {
		return errorAt(src, "a %s cannot be merged into the %s %s", src.kind, dst.kind, dst.place)
	}
	if dst.kind == List {
		dst.items = nil
		for _, item := range src.items {
			dst.push(item)
		}
		dst.place = src.place
		return nil
	}
	for i, k := range src.keys {
		if err := e.mergeEntry(dst, k, src.items[i], strict); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluator) mergeEntry(dst *Node, k any, src *Node, strict bool) error {
	have := dst.child(k)
	if have == nil {
		if strict || dst.closed {
			return unknownKey(dst, k, src)
		}
		dst.set(k, src)
		return nil
	}
	if have.Interpolation() && !src.Missing() || have.Interpolation() && src.container() {
		// What points to a container is replaced by a copy before merging.
		if target, err := e.deref(have); err == nil && target.container() && !target.opaque {
			c := target.clone()
			c.place = have.place
			dst.set(k, c)
			have = c
		}
	}
	switch {
	case src.Missing():
		return nil
	case have.container() && src.container():
		return e.merge(have, src, strict)
	}
	dst.set(k, src)
	return nil
}

// unknownKey is the error for a key that a closed mapping lacks.
func unknownKey(dst *Node, k any, src *Node) *Error {
	x := &Error{Key: joinKey(dst.Path(), k), Message: "unknown key", Hint: didYouMeanKey(dst.Path(), pyStr(k), dst.Keys())}
	if src != nil {
		x.File, x.Line, x.Column = src.place.where()
	}
	return x
}

func joinKey(head string, k any) string {
	if head == "" {
		return pyStr(k)
	}
	return fmt.Sprintf("%s.%s", head, pyStr(k))
}

// update sets the value at a path by OmegaConf.update(merge=True). force makes
// what is missing; without it unknown keys are errors.
func (e *evaluator) update(root *Node, key string, value any, p *place, force bool) error {
	v, err := fromValue(value, p)
	if err != nil {
		return err
	}
	keys := splitKey(key)
	cur := root
	for _, k := range keys[:len(keys)-1] {
		if cur.kind == List && !isIndex(k) {
			return problem("%q is no index of the list %q", k, cur.Path())
		}
		next := selectOne(cur, k)
		if next == nil || !next.container() {
			next = newDict(p)
			if err := e.assign(cur, k, next, force); err != nil {
				return err
			}
		}
		cur = next
	}
	last := keys[len(keys)-1]
	if v.container() {
		have := selectOne(cur, last)
		if have == nil && !force {
			return e.assign(cur, last, v, false)
		}
		if have != nil && have.container() {
			return e.merge(have, v, !force)
		}
	}
	return e.assign(cur, last, v, force)
}

// assign sets one entry of a container. "???" over a container is a value like
// any other here.
func (e *evaluator) assign(at *Node, k string, v *Node, force bool) error {
	if at.kind == List {
		i, ok := listIndex(k)
		if !ok || i >= len(at.items) {
			return problem("%s has %d entries, there is no [%s]", at.Path(), len(at.items), k)
		}
		at.put(i, v)
		return nil
	}
	if at.child(k) == nil && !force {
		return unknownKey(at, k, v)
	}
	at.set(k, v)
	return nil
}
