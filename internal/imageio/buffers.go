package imageio

import "sync"

// Buffers keeps pixel buffers for reuse. The zero value is ready; it is safe
// for concurrent use. Contents of a reused buffer are left as they were.
type Buffers struct {
	mu   sync.Mutex
	free [][]byte
	held int // bytes in free
}

// Of what lies ready, at most so many buffers and bytes are kept; the oldest
// are left to the collector.
const (
	keepBuffers = 32
	keepBytes   = 256 << 20
)

// Get returns a buffer of length n.
func (b *Buffers) Get(n int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := len(b.free) - 1; i >= 0; i-- {
		// Not a buffer far too large: small pictures must not hold big memory.
		if c := cap(b.free[i]); c >= n && c/4 <= n {
			buf := b.free[i][:n]
			b.free[i] = b.free[len(b.free)-1]
			b.free = b.free[:len(b.free)-1]
			b.held -= c
			return buf
		}
	}
	return make([]byte, n)
}

// Put gives a buffer back; nobody may use it afterwards.
func (b *Buffers) Put(buf []byte) {
	if cap(buf) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, buf[:0])
	b.held += cap(buf)
	for len(b.free) > keepBuffers || (b.held > keepBytes && len(b.free) > 1) {
		b.held -= cap(b.free[0])
		b.free[0] = nil
		b.free = b.free[1:]
	}
}
