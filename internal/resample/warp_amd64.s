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
DATA unit<>+0(SB)/8, $0x0000080000000800
DATA unit<>+8(SB)/8, $0x0000080000000800
GLOBL unit<>(SB), RODATA|NOPTR, $16

// One half in products of two weights.
DATA half<>+0(SB)/8, $0x0020000000200000
DATA half<>+8(SB)/8, $0x0020000000200000
GLOBL half<>(SB), RODATA|NOPTR, $16

// func insideSSE(dst, src *byte, n, stride int, px, py, stepX, stepY int64)
TEXT ·insideSSE(SB), NOSPLIT, $0-64
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), R13
	MOVQ stride+24(FP), R11
	MOVQ px+32(FP), R8
	MOVQ py+40(FP), R9
	MOVQ stepX+48(FP), R14
	MOVQ stepY+56(FP), R15
	LEAQ (SI)(R11*1), R12 // the row below
	MOVOU interleave<>(SB), X10
	MOVOU lowBytes<>(SB), X13
	MOVOU unit<>(SB), X11
	MOVOU half<>(SB), X12
	TESTQ R13, R13
	JLE  done

loop:
	// Offset of the upper left neighbour.
	MOVQ  R9, AX
	SARQ  $32, AX
	IMULQ R11, AX
	MOVQ  R8, BX
	SARQ  $32, BX
	LEAQ  (BX)(BX*2), BX
	ADDQ  BX, AX
	MOVQ  (SI)(AX*1), X0
	MOVQ  (R12)(AX*1), X1

	// Horizontal weights as words: 2048−fx, fx.
	MOVQ   R8, CX
	SHRQ   $21, CX
	ANDL   $2047, CX
	IMUL3L $65535, CX, CX
	ADDL   $2048, CX
	MOVQ   CX, X2
	PSHUFD $0, X2, X2
	PSHUFB X10, X0
	PSHUFB X10, X1
	PMADDWL X2, X0
	PMADDWL X2, X1

	// Vertical weights as double words.
	MOVQ   R9, DX
	SHRQ   $21, DX
	ANDL   $2047, DX
	MOVQ   DX, X3
	PSHUFD $0, X3, X3
	MOVO   X11, X4
	PSUBL  X3, X4
	PMULLD X4, X0
	PMULLD X3, X1
	PADDL  X1, X0
	PADDL  X12, X0
	PSRLL  $22, X0
	PSHUFB X13, X0
	MOVQ   X0, R10
	MOVL   R10, (DI)

	ADDQ $3, DI
	ADDQ R14, R8
	ADDQ R15, R9
	DECQ R13
	JNZ  loop

done:
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
