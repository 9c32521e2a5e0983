// SPDX-License-Identifier: Apache-2.0
// Written by training/exporting/embed.py from files/: see include/CWeights.h.

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
    .section .rodata
.Lname0:
    .asciz "left-atrium-compact"
.Lsha0:
    .asciz "2963ca61febbd0dd919cce8a6f6a1fea0d0db6858c4b3dff827fefce352892d7"
    .balign 64
.Lbytes0:
    .incbin "left-atrium-compact-2963ca61.safetensors"
.Lend0:
    .byte 0
.Lname1:
    .asciz "medsam-compact"
.Lsha1:
    .asciz "13b388fc13d510241c995a33381c31470c9b1cc22ab2f44cdfcf014f7e240514"
    .balign 64
.Lbytes1:
    .incbin "medsam-compact-13b388fc.safetensors"
.Lend1:
    .byte 0
.Lname2:
    .asciz "medsam2-compact"
.Lsha2:
    .asciz "592b9cb254c18649de471c6edba1dae8abcfc080af694b9f6cc603cd9d80f0ad"
    .balign 64
.Lbytes2:
    .incbin "medsam2-compact-592b9cb2.safetensors"
.Lend2:
    .byte 0
.Lname3:
    .asciz "polyp-compact"
.Lsha3:
    .asciz "9b04f2dde63e90df1da47d83e7ac6818fb5c16f04431a0514d30e1049b3d9d98"
    .balign 64
.Lbytes3:
    .incbin "polyp-compact-9b04f2dd.safetensors"
.Lend3:
    .byte 0

    .section .data.rel.ro, "aw"
    .balign 8
    .globl cweights_files
.Ltable:
    .quad .Lname0, .Lsha0, .Lbytes0, .Lend0 - .Lbytes0
    .quad .Lname1, .Lsha1, .Lbytes1, .Lend1 - .Lbytes1
    .quad .Lname2, .Lsha2, .Lbytes2, .Lend2 - .Lbytes2
    .quad .Lname3, .Lsha3, .Lbytes3, .Lend3 - .Lbytes3
cweights_files:
    .quad .Ltable

    .globl cweights_count
cweights_count:
    .quad 4
