package cpu

// cpuid runs the instruction of that name.
func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// xgetbv reads which registers the operating system keeps for each thread.
func xgetbv() (low, high uint32)

// What this processor and its operating system have.
var (
	SSE41 = has(1, 0, 1<<9|1<<19) // with SSSE3
	AVX2  = avx2()
)

func has(leaf, sub, bits uint32) bool {
	_, _, c, _ := cpuid(leaf, sub)
	return c&bits == bits
}

func avx2() bool {
	const osxsave, avx = 1 << 27, 1 << 28
	if most, _, _, _ := cpuid(0, 0); most < 7 || !has(1, 0, osxsave|avx) {
		return false
	}
	const xmm, ymm = 1 << 1, 1 << 2
	if kept, _ := xgetbv(); kept&(xmm|ymm) != xmm|ymm {
		return false
	}
	_, b, _, _ := cpuid(7, 0)
	return b&(1<<5) != 0
}
