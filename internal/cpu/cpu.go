// Package cpu tells which vector instructions may be used.
package cpu
