package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// Limits on what a pickle may ask for. The pickle of a large detector has some
// ten thousand values and a few hundred kilobytes.
const (
	maxPickle = 64 << 20 // bytes of one pickle
	maxValues = 2 << 20  // containers and objects made, stack and memo entries
	maxDigits = 4096     // bytes of one big integer
)

// machine interprets a pickle (PEP 3154 and the earlier protocols). It builds
// values and calls nothing: classes and functions are names, looked up in an
// allow-list, and a call of one yields an inert instance or, for the few that
// PyTorch needs, the value which this package makes itself.
type machine struct {
	code    []byte
	pos     int
	stack   []value
	marks   []int
	memo    map[int64]value
	values  int
	allow   []string
	persist func(id value) (value, error) // resolves persistent ids; nil forbids them
	err     error                         // the first failure: later operations do nothing
	done    bool
}

// run interprets one pickle from the machine's position up to and including its STOP.
func (m *machine) run() (value, error) {
	m.stack, m.marks, m.memo, m.done = m.stack[:0], m.marks[:0], map[int64]value{}, false
	start := m.pos
	for m.err == nil && !m.done {
		if m.pos-start > maxPickle {
			m.fail(fmt.Errorf("longer than %d bytes", maxPickle))
			break
		}
		at := m.pos
		op := m.take(1)
		if m.err != nil {
			break
		}
		f := operations[op[0]]
		if f == nil {
			m.fail(fmt.Errorf("unknown or forbidden operation %#02x", op[0]))
		} else {
			f(m)
		}
		if m.err != nil {
			return nil, fmt.Errorf("pickle, byte %d: %w", at, m.err)
		}
	}
	if m.err != nil {
		return nil, fmt.Errorf("pickle, byte %d: %w", m.pos, m.err)
	}
	return m.stack[0], nil
}

func (m *machine) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// take returns the next n bytes of the code, without a copy.
func (m *machine) take(n int) []byte {
	if m.err != nil || n < 0 || n > len(m.code)-m.pos {
		m.fail(errors.New("the data ends in the middle"))
		return make([]byte, min(max(n, 0), 8))
	}
	m.pos += n
	return m.code[m.pos-n : m.pos]
}

// counted reads a length of the given width and that many bytes.
func (m *machine) counted(width int) []byte {
	var b [8]byte
	copy(b[:], m.take(width))
	n := binary.LittleEndian.Uint64(b[:])
	if n > uint64(len(m.code)) {
		n = uint64(len(m.code)) + 1 // take will refuse
	}
	return m.take(int(n))
}

func (m *machine) uint(width int) int64 {
	var b [8]byte
	copy(b[:], m.take(width))
	return int64(binary.LittleEndian.Uint64(b[:]))
}

// line reads up to a newline.
func (m *machine) line() string {
	rest := m.code[m.pos:]
	for i, c := range rest {
		if c == '\n' {
			m.pos += i + 1
			return string(rest[:i])
		}
	}
	m.fail(errors.New("the data ends in the middle of a line"))
	return ""
}

func (m *machine) push(v value) {
	if len(m.stack) >= maxValues {
		m.fail(fmt.Errorf("more than %d values on the stack", maxValues))
		return
	}
	m.stack = append(m.stack, v)
}

// made counts a new container or object against the limit and pushes it.
func (m *machine) made(v value) {
	if m.values++; m.values > maxValues {
		m.fail(fmt.Errorf("more than %d objects", maxValues))
		return
	}
	m.push(v)
}

// floor is the lowest index that may be popped: above the innermost mark.
func (m *machine) floor() int {
	if n := len(m.marks); n > 0 {
		return m.marks[n-1]
	}
	return 0
}

func (m *machine) pop() value {
	if m.err != nil || len(m.stack) <= m.floor() {
		m.fail(errors.New("stack underflow"))
		return nil
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v
}

func (m *machine) top() value {
	if m.err != nil || len(m.stack) <= m.floor() {
		m.fail(errors.New("stack underflow"))
		return nil
	}
	return m.stack[len(m.stack)-1]
}

// popMark returns a copy of what was pushed since the last mark.
func (m *machine) popMark() tuple {
	n := len(m.marks)
	if m.err != nil || n == 0 {
		m.fail(errors.New("no mark on the stack"))
		return nil
	}
	at := m.marks[n-1]
	m.marks = m.marks[:n-1]
	items := append(tuple{}, m.stack[at:]...)
	m.stack = m.stack[:at]
	return items
}

func (m *machine) popN(n int) tuple {
	items := make(tuple, n)
	for i := n - 1; i >= 0; i-- {
		items[i] = m.pop()
	}
	return items
}

func (m *machine) get(key int64) {
	v, ok := m.memo[key]
	if !ok {
		m.fail(fmt.Errorf("memo %d is empty", key))
	}
	m.push(v)
}

func (m *machine) put(key int64) {
	if len(m.memo) >= maxValues {
		m.fail(fmt.Errorf("more than %d memo entries", maxValues))
		return
	}
	m.memo[key] = m.top()
}

// stop ends the pickle: one value must be left.
func (m *machine) stop() {
	if len(m.stack) != 1 || len(m.marks) != 0 {
		m.fail(fmt.Errorf("stop with %d values on the stack", len(m.stack)))
	}
	m.done = true
}

func (m *machine) number(text string) {
	text = strings.TrimSuffix(text, "L")
	if v, err := strconv.ParseInt(text, 10, 64); err == nil {
		m.push(v)
		return
	}
	n, ok := new(big.Int), false
	if len(text) <= maxDigits {
		n, ok = n.SetString(text, 10)
	}
	if !ok {
		m.fail(fmt.Errorf("number %.40q is malformed or too long", text))
	}
	m.push(n)
}

// long reads a two's-complement little-endian integer.
func (m *machine) long(b []byte) {
	if len(b) > maxDigits {
		m.fail(fmt.Errorf("integer of %d bytes", len(b)))
		return
	}
	be := make([]byte, len(b))
	for i, c := range b {
		be[len(b)-1-i] = c
	}
	n := new(big.Int).SetBytes(be)
	if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if n.IsInt64() {
		m.push(n.Int64())
		return
	}
	m.push(n)
}

func (m *machine) float(text string) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		m.fail(err)
	}
	m.push(v)
}

// quoted reads the repr of a protocol 0 string.
func (m *machine) quoted(text string) {
	n := len(text)
	if n < 2 || text[0] != text[n-1] || text[0] != '\'' && text[0] != '"' {
		m.fail(fmt.Errorf("string %.40q is not quoted", text))
		return
	}
	s := text[1 : n-1]
	if strings.Contains(s, `\`) {
		var err error
		if s, err = strconv.Unquote(`"` + strings.ReplaceAll(strings.ReplaceAll(s, `\'`, `'`), `"`, `\"`) + `"`); err != nil {
			m.fail(fmt.Errorf("string %.40q: %w", text, err))
		}
	}
	m.push(s)
}

// unicode reads a protocol 0 unicode line, raw-unicode-escape.
func (m *machine) unicode(text string) {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] == '\\' && i+1 < len(text) && (text[i+1] == 'u' || text[i+1] == 'U') {
			n := 4
			if text[i+1] == 'U' {
				n = 8
			}
			if i+2+n > len(text) {
				m.fail(errors.New("escape ends in the middle"))
				return
			}
			r, err := strconv.ParseUint(text[i+2:i+2+n], 16, 32)
			if err != nil {
				m.fail(err)
				return
			}
			b.WriteRune(rune(r))
			i += 2 + n
			continue
		}
		b.WriteRune(rune(text[i])) // Latin-1
		i++
	}
	m.push(b.String())
}

func (m *machine) binFloat() {
	m.push(math.Float64frombits(binary.BigEndian.Uint64(m.take(8))))
}
