package wildtrain_test

import (
	"syscall"
	"time"
)

// threadID waits in the kernel, long enough for the scheduler to give this
// goroutine's turn away, and tells on which thread it goes on.
func threadID() int {
	wait := syscall.NsecToTimespec(int64(2 * time.Millisecond))
	_ = syscall.Nanosleep(&wait, nil)
	return syscall.Gettid()
}
