package checkpoint

import (
	"errors"
	"fmt"
)

// operations maps an opcode to what the machine does. Extension registry
// (EXT1 …) and out-of-band buffers are left out: PyTorch does not write them.
var operations = [256]func(*machine){
	'.': (*machine).stop,
	'(': func(m *machine) { m.marks = append(m.marks, len(m.stack)) },
	'0': popOne,
	'1': func(m *machine) { m.popMark() },
	'2': func(m *machine) { m.push(m.top()) },

	// Plain values.
	'N':    func(m *machine) { m.push(nil) },
	0x88:   func(m *machine) { m.push(true) },
	0x89:   func(m *machine) { m.push(false) },
	'I':    intLine,
	'L':    func(m *machine) { m.number(m.line()) },
	'J':    func(m *machine) { m.push(int64(int32(m.uint(4)))) },
	'K':    func(m *machine) { m.push(m.uint(1)) },
	'M':    func(m *machine) { m.push(m.uint(2)) },
	0x8a:   func(m *machine) { m.long(m.counted(1)) },
	0x8b:   func(m *machine) { m.long(m.counted(4)) },
	'F':    func(m *machine) { m.float(m.line()) },
	'G':    (*machine).binFloat,
	'S':    func(m *machine) { m.quoted(m.line()) },
	'T':    func(m *machine) { m.push(string(m.counted(4))) },
	'U':    func(m *machine) { m.push(string(m.counted(1))) },
	'V':    func(m *machine) { m.unicode(m.line()) },
	'X':    func(m *machine) { m.push(string(m.counted(4))) },
	0x8c:   func(m *machine) { m.push(string(m.counted(1))) },
	0x8d:   func(m *machine) { m.push(string(m.counted(8))) },
	'B':    func(m *machine) { m.push(m.counted(4)) },
	'C':    func(m *machine) { m.push(m.counted(1)) },
	0x8e:   func(m *machine) { m.push(m.counted(8)) },
	0x96:   func(m *machine) { m.push(m.counted(8)) },
	0x80:   protocol,
	0x95:   func(m *machine) { m.take(8) }, // frame: a hint for reading ahead
	']':    func(m *machine) { m.made(&list{}) },
	'}':    func(m *machine) { m.made(&dict{}) },
	')':    func(m *machine) { m.push(tuple{}) },
	0x8f:   func(m *machine) { m.made(&set{}) },
	'l':    func(m *machine) { m.made(&list{items: m.popMark()}) },
	't':    func(m *machine) { m.made(m.popMark()) },
	0x85:   func(m *machine) { m.made(m.popN(1)) },
	0x86:   func(m *machine) { m.made(m.popN(2)) },
	0x87:   func(m *machine) { m.made(m.popN(3)) },
	0x91:   func(m *machine) { m.made(&set{items: m.popMark()}) },
	'd':    makeDict,
	'a':    func(m *machine) { v := m.pop(); m.extend(v) },
	'e':    func(m *machine) { m.extend(m.popMark()...) },
	0x90:   func(m *machine) { m.extend(m.popMark()...) },
	's':    func(m *machine) { m.setItems(m.popN(2)) },
	'u':    func(m *machine) { m.setItems(m.popMark()) },
	'g':    func(m *machine) { m.memoLine((*machine).get) },
	'h':    func(m *machine) { m.get(m.uint(1)) },
	'j':    func(m *machine) { m.get(m.uint(4)) },
	'p':    func(m *machine) { m.memoLine((*machine).put) },
	'q':    func(m *machine) { m.put(m.uint(1)) },
	'r':    func(m *machine) { m.put(m.uint(4)) },
	0x94:   func(m *machine) { m.put(int64(len(m.memo))) },
	'c':    func(m *machine) { module := m.line(); m.global(module, m.line()) },
	0x93:   stackGlobal,
	'R':    func(m *machine) { args := m.pop(); m.call(m.pop(), args) },
	0x81:   func(m *machine) { args := m.pop(); m.call(m.pop(), args) },
	0x92:   func(m *machine) { m.pop(); args := m.pop(); m.call(m.pop(), args) },
	'i':    instLine,
	'o':    instStack,
	'b':    func(m *machine) { state := m.pop(); m.build(m.top(), state) },
	'P':    func(m *machine) { m.persistent(m.line()) },
	'Q':    func(m *machine) { m.persistent(m.pop()) },
	'\x82': nil, '\x83': nil, '\x84': nil, '\x97': nil, '\x98': nil,
}

func protocol(m *machine) {
	if p := m.uint(1); p > 5 {
		m.fail(fmt.Errorf("protocol %d", p))
	}
}

// popOne drops a value, or a mark where nothing is above it.
func popOne(m *machine) {
	if n := len(m.marks); n > 0 && m.marks[n-1] == len(m.stack) {
		m.marks = m.marks[:n-1]
		return
	}
	m.pop()
}

func intLine(m *machine) {
	switch text := m.line(); text {
	case "00":
		m.push(false)
	case "01":
		m.push(true)
	default:
		m.number(text)
	}
}

func makeDict(m *machine) {
	items := m.popMark()
	m.made(&dict{})
	m.setItems(items)
}

func (m *machine) memoLine(f func(*machine, int64)) {
	m.number(m.line())
	key, ok := m.pop().(int64)
	if !ok {
		m.fail(errors.New("memo key is not a number"))
		return
	}
	f(m, key)
}

// extend appends to the list or set on top of the stack.
func (m *machine) extend(items ...value) {
	switch c := m.top().(type) {
	case *list:
		c.items = append(c.items, items...)
	case *set:
		c.items = append(c.items, items...)
	case *instance:
		c.list.items = append(c.list.items, items...)
	default:
		m.fail(fmt.Errorf("append to %T", c))
	}
}

// setItems stores keys and values, in turn, in the dictionary on top of the stack.
func (m *machine) setItems(items tuple) {
	var d *dict
	switch c := m.top().(type) {
	case *dict:
		d = c
	case *instance:
		d = &c.items
	default:
		m.fail(fmt.Errorf("set an item of %T", c))
		return
	}
	if len(items)%2 != 0 {
		m.fail(errors.New("key without value"))
		return
	}
	for i := 0; i < len(items); i += 2 {
		d.set(items[i], items[i+1])
	}
}

func stackGlobal(m *machine) {
	name, ok1 := m.pop().(string)
	module, ok2 := m.pop().(string)
	if !ok1 || !ok2 {
		m.fail(errors.New("class name is not a string"))
		return
	}
	m.global(module, name)
}

// instLine and instStack are the ways in which protocols 0 and 1 make objects.
func instLine(m *machine) {
	module := m.line()
	name := m.line()
	args := m.popMark()
	m.global(module, name)
	m.call(m.pop(), args)
}

func instStack(m *machine) {
	items := m.popMark()
	if len(items) == 0 {
		m.fail(errors.New("object without class"))
		return
	}
	m.call(items[0], items[1:])
}

func (m *machine) persistent(id value) {
	if m.err != nil {
		return
	}
	if m.persist == nil {
		m.fail(errors.New("a reference to outside data is not allowed here"))
		return
	}
	v, err := m.persist(id)
	if err != nil {
		m.fail(err)
	}
	m.push(v)
}

// build gives an object its state.
func (m *machine) build(target, state value) {
	switch t := target.(type) {
	case *dict: // attributes of an OrderedDict, such as _metadata: of no use here
	case *instance:
		t.setState(state)
	case *tensor:
	default:
		m.fail(fmt.Errorf("set the state of %T", target))
	}
}

// setState keeps dictionaries, and pairs of dictionaries (instance and slots).
func (i *instance) setState(state value) {
	parts := tuple{state}
	if pair, ok := state.(tuple); ok && len(pair) == 2 {
		parts = pair
	}
	for _, part := range parts {
		d, ok := part.(*dict)
		if !ok {
			continue
		}
		if i.state == nil {
			i.state = d
			continue
		}
		for n, k := range d.keys {
			i.state.set(k, d.values[n])
		}
	}
}
