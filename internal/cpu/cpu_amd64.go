package cpu

// cpuid runs the instruction of that name.
func cpuid(leaf, sub uint32) (eax, ebx, ecx, edx uint32)

// xgetbv reads which registers the operating system keeps for each thread.
func xgetbv() (low, high uint32)

// AVX2 tells whether this processor and its operating system have it.
var AVX2 = avx2()

func avx2() bool {
	const osxsave, avx = 1 << 27, 1 << 28
	if most, _, _, _ := cpuid(0, 0); most < 7 {
		return false
	}
	if _, _, c, _ := cpuid(1, 0); c&(osxsave|avx) != osxsave|avx {
		return false
	}
	const xmm, ymm = 1 << 1, 1 << 2
	if kept, _ := xgetbv(); kept&(xmm|ymm) != xmm|ymm {
		return false
	}
	_, b, _, _ := cpuid(7, 0)
	return b&(1<<5) != 0
}
