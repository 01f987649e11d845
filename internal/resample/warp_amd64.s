#include "textflag.h"

// The bytes of two neighbouring pixels, r0 g0 b0 r1 g1 b1, as words r0 r1 g0 g1 b0 b1.
DATA interleave<>+0(SB)/8, $0x8004800180038000
DATA interleave<>+8(SB)/8, $0x8080808080058002
GLOBL interleave<>(SB), RODATA|NOPTR, $16

// The low bytes of three double words.
DATA lowBytes<>+0(SB)/8, $0x8080808080080400
DATA lowBytes<>+8(SB)/8, $0x8080808080808080
GLOBL lowBytes<>(SB), RODATA|NOPTR, $16

// 1 in weights of 11 bits.
DATA unit<>+0(SB)/4, $0x00000800
GLOBL unit<>(SB), RODATA|NOPTR, $4

// One half in products of two weights.
DATA half<>+0(SB)/4, $0x00200000
GLOBL half<>(SB), RODATA|NOPTR, $4

// The neighbours of the 32.32 position PX, PY: eight bytes of the upper row in UP,
// of the lower in DOWN.
#define NEIGHBOURS(PX, PY, UP, DOWN) \
	MOVQ  PY, AX;           \
	SARQ  $32, AX;          \
	IMULQ R11, AX;          \
	MOVQ  PX, BX;           \
	SARQ  $32, BX;          \
	LEAQ  (BX)(BX*2), BX;   \
	ADDQ  BX, AX;           \
	VMOVQ (SI)(AX*1), UP;   \
	VMOVQ (R12)(AX*1), DOWN

// func insideAVX2(dst, src *byte, n, stride int, px, py, stepX, stepY int64)
//
// One pixel lies in each half of a register.
TEXT ·insideAVX2(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), R13
	MOVQ stride+24(FP), R11
	MOVQ px+32(FP), R8
	MOVQ py+40(FP), R9
	MOVQ stepX+48(FP), R14
	MOVQ stepY+56(FP), R15
	LEAQ (SI)(R11*1), R12 // the row below
	VBROADCASTI128 interleave<>(SB), Y10
	VBROADCASTI128 lowBytes<>(SB), Y13
	VPBROADCASTD unit<>(SB), Y11
	VPBROADCASTD half<>(SB), Y12

	// Fractions of the positions, and what they grow by for two pixels.
	MOVQ R8, AX
	MOVQ R9, BX
	VMOVD AX, X6
	VMOVD BX, X7
	ADDQ R14, AX
	ADDQ R15, BX
	VMOVD AX, X0
	VMOVD BX, X1
	VPBROADCASTD X6, X6
	VPBROADCASTD X7, X7
	VPBROADCASTD X0, X0
	VPBROADCASTD X1, X1
	VINSERTI128 $1, X0, Y6, Y6
	VINSERTI128 $1, X1, Y7, Y7
	LEAQ (R14)(R14*1), AX
	LEAQ (R15)(R15*1), BX
	VMOVD AX, X8
	VMOVD BX, X9
	VPBROADCASTD X8, Y8
	VPBROADCASTD X9, Y9

pairs:
	NEIGHBOURS(R8, R9, X0, X1)
	ADDQ R14, R8
	ADDQ R15, R9
	NEIGHBOURS(R8, R9, X2, X3)
	ADDQ R14, R8
	ADDQ R15, R9
	VINSERTI128 $1, X2, Y0, Y0
	VINSERTI128 $1, X3, Y1, Y1

	// Horizontal weights as words: 2048−fx, fx.
	VPSRLD   $21, Y6, Y2
	VPSUBD   Y2, Y11, Y3
	VPSLLD   $16, Y2, Y2
	VPOR     Y3, Y2, Y2
	VPSHUFB  Y10, Y0, Y0
	VPSHUFB  Y10, Y1, Y1
	VPMADDWD Y2, Y0, Y0
	VPMADDWD Y2, Y1, Y1

	// Vertical weights as double words.
	VPSRLD  $21, Y7, Y3
	VPSUBD  Y3, Y11, Y4
	VPMULLD Y4, Y0, Y0
	VPMULLD Y3, Y1, Y1
	VPADDD  Y1, Y0, Y0
	VPADDD  Y12, Y0, Y0
	VPSRLD  $22, Y0, Y0
	VPSHUFB Y13, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VMOVD   X0, (DI)
	VMOVD   X1, 3(DI)

	VPADDD Y8, Y6, Y6
	VPADDD Y9, Y7, Y7
	ADDQ $6, DI
	DECQ R13
	JNZ  pairs
	VZEROUPPER
	RET

// The bytes of four pixels with those of one channel and two neighbours in pairs.
DATA pairs<>+0(SB)/8, $0x0906050204010300
DATA pairs<>+8(SB)/8, $0x808080800b080a07
GLOBL pairs<>(SB), RODATA|NOPTR, $16

DATA ones<>+0(SB)/8, $0x0101010101010101
GLOBL ones<>(SB), RODATA|NOPTR, $8

DATA two<>+0(SB)/8, $0x0002000200020002
GLOBL two<>(SB), RODATA|NOPTR, $8

// func halveAVX2(dst, a, b *byte, n int)
TEXT ·halveAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), R8
	MOVQ n+24(FP), CX
	VBROADCASTI128 pairs<>(SB), Y13
	VPBROADCASTQ   ones<>(SB), Y14
	VPBROADCASTQ   two<>(SB), Y15

halves:
	VMOVDQU      (SI), X0
	VINSERTI128  $1, 12(SI), Y0, Y0
	VMOVDQU      (R8), X1
	VINSERTI128  $1, 12(R8), Y1, Y1
	VPSHUFB      Y13, Y0, Y0
	VPSHUFB      Y13, Y1, Y1
	VPMADDUBSW   Y14, Y0, Y0
	VPMADDUBSW   Y14, Y1, Y1
	VPADDW       Y1, Y0, Y0
	VPADDW       Y15, Y0, Y0
	VPSRLW       $2, Y0, Y0
	VPACKUSWB    Y0, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VMOVQ        X0, (DI)
	VMOVQ        X1, 6(DI)
	ADDQ         $24, SI
	ADDQ         $24, R8
	ADDQ         $12, DI
	DECQ         CX
	JNZ          halves
	VZEROUPPER
	RET
