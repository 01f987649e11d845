//go:build race

package config

// hostileSize is smaller under the race detector, which slows parsers down manifold.
const hostileSize = 4 << 10
