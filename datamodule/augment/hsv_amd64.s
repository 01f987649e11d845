#include "textflag.h"

// Numbers of HSV in all eight lanes; f marks floating point.
DATA half12<>+0(SB)/8, $0x0000080000000800
DATA half12<>+8(SB)/8, $0x0000080000000800
DATA half12<>+16(SB)/8, $0x0000080000000800
DATA half12<>+24(SB)/8, $0x0000080000000800
GLOBL half12<>(SB), RODATA|NOPTR, $32

DATA full<>+0(SB)/8, $0x000000ff000000ff
DATA full<>+8(SB)/8, $0x000000ff000000ff
DATA full<>+16(SB)/8, $0x000000ff000000ff
DATA full<>+24(SB)/8, $0x000000ff000000ff
GLOBL full<>(SB), RODATA|NOPTR, $32

DATA circle<>+0(SB)/8, $0x000000b4000000b4
DATA circle<>+8(SB)/8, $0x000000b4000000b4
DATA circle<>+16(SB)/8, $0x000000b4000000b4
DATA circle<>+24(SB)/8, $0x000000b4000000b4
GLOBL circle<>(SB), RODATA|NOPTR, $32

DATA last<>+0(SB)/8, $0x000000b3000000b3
DATA last<>+8(SB)/8, $0x000000b3000000b3
DATA last<>+16(SB)/8, $0x000000b3000000b3
DATA last<>+24(SB)/8, $0x000000b3000000b3
GLOBL last<>(SB), RODATA|NOPTR, $32

DATA sixths<>+0(SB)/8, $0x0000088900000889
DATA sixths<>+8(SB)/8, $0x0000088900000889
DATA sixths<>+16(SB)/8, $0x0000088900000889
DATA sixths<>+24(SB)/8, $0x0000088900000889
GLOBL sixths<>(SB), RODATA|NOPTR, $32

DATA thirty<>+0(SB)/8, $0x0000001e0000001e
DATA thirty<>+8(SB)/8, $0x0000001e0000001e
DATA thirty<>+16(SB)/8, $0x0000001e0000001e
DATA thirty<>+24(SB)/8, $0x0000001e0000001e
GLOBL thirty<>(SB), RODATA|NOPTR, $32

DATA by257<>+0(SB)/8, $0x0000010100000101
DATA by257<>+8(SB)/8, $0x0000010100000101
DATA by257<>+16(SB)/8, $0x0000010100000101
DATA by257<>+24(SB)/8, $0x0000010100000101
GLOBL by257<>(SB), RODATA|NOPTR, $32

DATA half257<>+0(SB)/8, $0x0000808000008080
DATA half257<>+8(SB)/8, $0x0000808000008080
DATA half257<>+16(SB)/8, $0x0000808000008080
DATA half257<>+24(SB)/8, $0x0000808000008080
GLOBL half257<>(SB), RODATA|NOPTR, $32

DATA fSaturation<>+0(SB)/8, $0x497f0000497f0000
DATA fSaturation<>+8(SB)/8, $0x497f0000497f0000
DATA fSaturation<>+16(SB)/8, $0x497f0000497f0000
DATA fSaturation<>+24(SB)/8, $0x497f0000497f0000
GLOBL fSaturation<>(SB), RODATA|NOPTR, $32

DATA fHue<>+0(SB)/8, $0x47f0000047f00000
DATA fHue<>+8(SB)/8, $0x47f0000047f00000
DATA fHue<>+16(SB)/8, $0x47f0000047f00000
DATA fHue<>+24(SB)/8, $0x47f0000047f00000
GLOBL fHue<>(SB), RODATA|NOPTR, $32

DATA fHalf<>+0(SB)/8, $0x456f1800456f1800
DATA fHalf<>+8(SB)/8, $0x456f1800456f1800
DATA fHalf<>+16(SB)/8, $0x456f1800456f1800
DATA fHalf<>+24(SB)/8, $0x456f1800456f1800
GLOBL fHalf<>(SB), RODATA|NOPTR, $32

DATA fShare<>+0(SB)/8, $0x3909119a3909119a
DATA fShare<>+8(SB)/8, $0x3909119a3909119a
DATA fShare<>+16(SB)/8, $0x3909119a3909119a
DATA fShare<>+24(SB)/8, $0x3909119a3909119a
GLOBL fShare<>(SB), RODATA|NOPTR, $32

// The bytes of one channel of four pixels as double words, and back.
DATA pickR<>+0(SB)/8, $0x8080800380808000
DATA pickR<>+8(SB)/8, $0x8080800980808006
DATA pickR<>+16(SB)/8, $0x8080800380808000
DATA pickR<>+24(SB)/8, $0x8080800980808006
GLOBL pickR<>(SB), RODATA|NOPTR, $32

DATA pickG<>+0(SB)/8, $0x8080800480808001
DATA pickG<>+8(SB)/8, $0x8080800a80808007
DATA pickG<>+16(SB)/8, $0x8080800480808001
DATA pickG<>+24(SB)/8, $0x8080800a80808007
GLOBL pickG<>(SB), RODATA|NOPTR, $32

DATA pickB<>+0(SB)/8, $0x8080800580808002
DATA pickB<>+8(SB)/8, $0x8080800b80808008
DATA pickB<>+16(SB)/8, $0x8080800580808002
DATA pickB<>+24(SB)/8, $0x8080800b80808008
GLOBL pickB<>(SB), RODATA|NOPTR, $32

DATA packed<>+0(SB)/8, $0x0908060504020100
DATA packed<>+8(SB)/8, $0x808080800e0d0c0a
DATA packed<>+16(SB)/8, $0x0908060504020100
DATA packed<>+24(SB)/8, $0x808080800e0d0c0a
GLOBL packed<>(SB), RODATA|NOPTR, $32

// By sixth of the circle: where a channel is the brightest, and where the middle one.
DATA highR<>+0(SB)/8, $0x00000000ffffffff
DATA highR<>+8(SB)/8, $0x0000000000000000
DATA highR<>+16(SB)/8, $0xffffffff00000000
DATA highR<>+24(SB)/8, $0x0000000000000000
GLOBL highR<>(SB), RODATA|NOPTR, $32

DATA middleR<>+0(SB)/8, $0xffffffff00000000
DATA middleR<>+8(SB)/8, $0x0000000000000000
DATA middleR<>+16(SB)/8, $0x00000000ffffffff
DATA middleR<>+24(SB)/8, $0x0000000000000000
GLOBL middleR<>(SB), RODATA|NOPTR, $32

DATA highG<>+0(SB)/8, $0xffffffff00000000
DATA highG<>+8(SB)/8, $0x00000000ffffffff
DATA highG<>+16(SB)/8, $0x0000000000000000
DATA highG<>+24(SB)/8, $0x0000000000000000
GLOBL highG<>(SB), RODATA|NOPTR, $32

DATA middleG<>+0(SB)/8, $0x00000000ffffffff
DATA middleG<>+8(SB)/8, $0xffffffff00000000
DATA middleG<>+16(SB)/8, $0x0000000000000000
DATA middleG<>+24(SB)/8, $0x0000000000000000
GLOBL middleG<>(SB), RODATA|NOPTR, $32

DATA highB<>+0(SB)/8, $0x0000000000000000
DATA highB<>+8(SB)/8, $0xffffffff00000000
DATA highB<>+16(SB)/8, $0x00000000ffffffff
DATA highB<>+24(SB)/8, $0x0000000000000000
GLOBL highB<>(SB), RODATA|NOPTR, $32

DATA middleB<>+0(SB)/8, $0x0000000000000000
DATA middleB<>+8(SB)/8, $0x00000000ffffffff
DATA middleB<>+16(SB)/8, $0xffffffff00000000
DATA middleB<>+24(SB)/8, $0x0000000000000000
GLOBL middleB<>(SB), RODATA|NOPTR, $32

// func hsvAVX2(pix *byte, n int, c *hsvChange)
TEXT ·hsvAVX2(SB), NOSPLIT, $0-24
	MOVQ pix+0(FP), DI
	MOVQ n+8(FP), CX
	MOVQ c+16(FP), SI
	VPBROADCASTD 0(SI), Y13 // turn
	VPBROADCASTD 4(SI), Y14 // saturation
	VPBROADCASTD 8(SI), Y15 // value

loop:
	VMOVDQU     (DI), X0
	VINSERTI128 $1, 12(DI), Y0, Y0
	VPSHUFB     pickB<>(SB), Y0, Y2
	VPSHUFB     pickG<>(SB), Y0, Y1
	VPSHUFB     pickR<>(SB), Y0, Y0

	// The brightest channel, and how far the darkest is below.
	VPMAXSD Y1, Y0, Y3
	VPMAXSD Y2, Y3, Y3
	VPMINSD Y1, Y0, Y4
	VPMINSD Y2, Y4, Y4
	VPSUBD  Y4, Y3, Y4

	// Hue, in units of the difference: by which channel is the brightest.
	VPADDD    Y4, Y4, Y5           // 2·diff
	VPADDD    Y5, Y5, Y6           // 4·diff
	VPSUBD    Y0, Y2, Y7
	VPADDD    Y5, Y7, Y7           // green: b − r + 2·diff
	VPSUBD    Y1, Y0, Y8
	VPADDD    Y6, Y8, Y8           // blue: r − g + 4·diff
	VPSUBD    Y2, Y1, Y9           // red: g − b
	VPCMPEQD  Y1, Y3, Y5
	VBLENDVPS Y5, Y7, Y8, Y8
	VPCMPEQD  Y0, Y3, Y5
	VBLENDVPS Y5, Y9, Y8, Y8

	// Hue in 180ths of the circle, turned.
	VCVTDQ2PS Y4, Y5
	VMOVUPS   fHue<>(SB), Y6
	VDIVPS    Y5, Y6, Y5
	VCVTPS2DQ Y5, Y5
	VPMULLD   Y5, Y8, Y8
	VPADDD    half12<>(SB), Y8, Y8
	VPSRAD    $12, Y8, Y8
	VPADDD    Y13, Y8, Y8
	VPSRAD    $31, Y8, Y5
	VPAND     circle<>(SB), Y5, Y5
	VPADDD    Y5, Y8, Y8
	VPCMPGTD  last<>(SB), Y8, Y5
	VPAND     circle<>(SB), Y5, Y5
	VPSUBD    Y5, Y8, Y8

	// Saturation.
	VCVTDQ2PS Y3, Y5
	VMOVUPS   fSaturation<>(SB), Y6
	VDIVPS    Y5, Y6, Y5
	VCVTPS2DQ Y5, Y5
	VPMULLD   Y5, Y4, Y4
	VPADDD    half12<>(SB), Y4, Y4
	VPSRAD    $12, Y4, Y4
	VPMULLD   Y14, Y4, Y4
	VPSRAD    $16, Y4, Y4
	VPMINSD   full<>(SB), Y4, Y4

	// Value: the brightest channel.
	VPMULLD Y15, Y3, Y3
	VPSRAD  $16, Y3, Y3
	VPMINSD full<>(SB), Y3, Y3

	// Sixth of the circle, and the part of it that counts for the middle channel.
	VPMULLD   sixths<>(SB), Y8, Y9
	VPSRLD    $16, Y9, Y9
	VPMULLD   thirty<>(SB), Y9, Y5
	VPSUBD    Y5, Y8, Y8
	VMOVDQU   thirty<>(SB), Y6
	VPSUBD    Y8, Y6, Y6
	VPSLLD    $31, Y9, Y5
	VBLENDVPS Y5, Y8, Y6, Y8

	// The darkest and the middle channel.
	VPMULLD    Y3, Y4, Y4
	VPMULLD    Y4, Y8, Y8
	VPMULLD    by257<>(SB), Y4, Y4
	VPADDD     half257<>(SB), Y4, Y4
	VPSRLD     $16, Y4, Y4
	VPSUBD     Y4, Y3, Y4
	VCVTDQ2PS  Y8, Y8
	VADDPS     fHalf<>(SB), Y8, Y8
	VMULPS     fShare<>(SB), Y8, Y8
	VCVTTPS2DQ Y8, Y8
	VPSUBD     Y8, Y3, Y8

	// Each channel's place among the three.
	VPERMD    middleR<>(SB), Y9, Y5
	VBLENDVPS Y5, Y8, Y4, Y0
	VPERMD    highR<>(SB), Y9, Y5
	VBLENDVPS Y5, Y3, Y0, Y0
	VPERMD    middleG<>(SB), Y9, Y5
	VBLENDVPS Y5, Y8, Y4, Y1
	VPERMD    highG<>(SB), Y9, Y5
	VBLENDVPS Y5, Y3, Y1, Y1
	VPERMD    middleB<>(SB), Y9, Y5
	VBLENDVPS Y5, Y8, Y4, Y2
	VPERMD    highB<>(SB), Y9, Y5
	VBLENDVPS Y5, Y3, Y2, Y2
	VPSLLD    $8, Y1, Y1
	VPSLLD    $16, Y2, Y2
	VPOR      Y1, Y0, Y0
	VPOR      Y2, Y0, Y0
	VPSHUFB   packed<>(SB), Y0, Y0

	// Exactly 24 bytes.
	VEXTRACTI128 $1, Y0, X1
	VMOVDQU      X0, (DI)
	VMOVQ        X1, 12(DI)
	VPEXTRD      $2, X1, 20(DI)
	ADDQ         $24, DI
	DECQ         CX
	JNZ          loop
	VZEROUPPER
	RET
