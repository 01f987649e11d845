//go:build !race

package config

// hostileSize is the length of input that must not take long.
const hostileSize = 64 << 10
