package datamodule

import (
	"sync"

	"github.com/wildtrain/sdk/internal/imageio"
	"github.com/wildtrain/sdk/wildtrain"
)

// cache keeps decoded pictures, scaled to the training size. Pictures in it are
// shared and only read. What it holds never changes what a loader yields.
type cache struct {
	mu      sync.Mutex
	limit   int64
	evict   bool // when full: true drops the oldest, false takes no more
	used    int64
	entries map[cacheKey]*cacheEntry
	order   []cacheKey // oldest first
	buffers *imageio.Buffers
}

type cacheKey struct {
	stage wildtrain.Stage
	index int
}

type cacheEntry struct {
	ready   chan struct{} // closed when im or err is set
	size    int64
	im      wildtrain.Image
	err     error
	readers int  // who may still look at im
	dropped bool // no longer in the cache: the last reader gives the buffer back
}

// newCache makes one whose pictures are from buffers.
func newCache(limit int64, evict bool, buffers *imageio.Buffers) *cache {
	return &cache{limit: limit, evict: evict, entries: map[cacheKey]*cacheEntry{}, buffers: buffers}
}

// get returns the picture of a key, made by make if it is not there; the caller
// calls release when it has read it. Two goroutines that want the same picture
// make it once. ok is false where the cache has no room for it; nothing was made then.
func (c *cache) get(key cacheKey, size int64, make func() (wildtrain.Image, error)) (im wildtrain.Image, release func(), ok bool, err error) {
	e, mine := c.claim(key, size)
	if e == nil {
		return im, nil, false, nil
	}
	if mine {
		e.im, e.err = make()
		close(e.ready)
		if e.err != nil {
			c.drop(key, e)
		}
	}
	<-e.ready
	return e.im, func() { c.release(e) }, true, e.err
}

// claim finds or reserves an entry for a reader; mine means the caller must fill it.
func (c *cache) claim(key cacheKey, size int64) (e *cacheEntry, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		e.readers++
		return e, false
	}
	for c.evict && c.used+size > c.limit && len(c.order) > 0 {
		oldest := c.order[0]
		c.order = c.order[1:]
		if old := c.entries[oldest]; old != nil {
			c.used -= old.size
			delete(c.entries, oldest)
			c.leave(old)
		}
	}
	if c.used+size > c.limit {
		return nil, false
	}
	e = &cacheEntry{ready: make(chan struct{}), size: size, readers: 1}
	c.entries[key] = e
	c.order = append(c.order, key)
	c.used += size
	return e, true
}

func (c *cache) release(e *cacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.readers--; e.readers == 0 && e.dropped {
		c.buffers.Put(e.im.U8)
	}
}

// leave is for an entry that has been taken out.
func (c *cache) leave(e *cacheEntry) {
	if e.dropped = true; e.readers == 0 {
		c.buffers.Put(e.im.U8)
	}
}

func (c *cache) drop(key cacheKey, e *cacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[key] == e {
		delete(c.entries, key)
		c.used -= e.size
		c.leave(e)
	}
}

// grow raises the limit.
func (c *cache) grow(limit int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = max(c.limit, limit)
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries, c.order, c.used = map[cacheKey]*cacheEntry{}, nil, 0
}
