//go:build !linux

package wildtrain_test

func threadID() int { return 0 }
