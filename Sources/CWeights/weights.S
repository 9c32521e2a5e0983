// SPDX-License-Identifier: Apache-2.0
// Written by training/embed.py from files/: see include/CWeights.h.

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
    .section .rodata
.Lname0:
    .asciz "left-atrium-compact"
.Lsha0:
    .asciz "67d9cf86eda527262e2bb3dbaecfa7ea515c36722de15d5acb34dd04f8ff207e"
    .balign 64
.Lbytes0:
    .incbin "left-atrium-compact-67d9cf86.safetensors"
.Lend0:
    .byte 0
.Lname1:
    .asciz "polyp-compact"
.Lsha1:
    .asciz "888f33591833d51b6fafc7a81435d591c5d311a26d29f37f21897b1448ae2163"
    .balign 64
.Lbytes1:
    .incbin "polyp-compact-888f3359.safetensors"
.Lend1:
    .byte 0

    .section .data.rel.ro, "aw"
    .balign 8
    .globl cweights_files
.Ltable:
    .quad .Lname0, .Lsha0, .Lbytes0, .Lend0 - .Lbytes0
    .quad .Lname1, .Lsha1, .Lbytes1, .Lend1 - .Lbytes1
cweights_files:
    .quad .Ltable

    .globl cweights_count
cweights_count:
    .quad 2
