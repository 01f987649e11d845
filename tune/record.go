package tune

import (
	"maps"
	"slices"
)

// SetAttr sets an attribute in the record alone; storages keep theirs with it.
func (r *StudyRecord) SetAttr(system bool, key, json string) {
	if system {
		put(&r.SystemAttrs, key, json)
		return
	}
	put(&r.UserAttrs, key, json)
}

// Clone copies the record and its maps.
func (r StudyRecord) Clone() StudyRecord {
	r.Directions = slices.Clone(r.Directions)
	r.UserAttrs, r.SystemAttrs = maps.Clone(r.UserAttrs), maps.Clone(r.SystemAttrs)
	return r
}
