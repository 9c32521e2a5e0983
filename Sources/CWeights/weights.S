// SPDX-License-Identifier: Apache-2.0
// Written by training/embed.py from files/: see include/CWeights.h.

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
    .asciz "ecfd251ef302f5e55ae9f259c8b678210328f571a9e70dda58175f3ecf4862f6"
    .balign 64
.Lbytes1:
    .incbin "medsam-compact-ecfd251e.safetensors"
.Lend1:
    .byte 0
.Lname2:
    .asciz "polyp-compact"
.Lsha2:
    .asciz "c9bc6ff21b2535aa33a5b19925a4ad657f64d4185d9c75b36000598c397058b8"
    .balign 64
.Lbytes2:
    .incbin "polyp-compact-c9bc6ff2.safetensors"
.Lend2:
    .byte 0

    .section .data.rel.ro, "aw"
    .balign 8
    .globl cweights_files
.Ltable:
    .quad .Lname0, .Lsha0, .Lbytes0, .Lend0 - .Lbytes0
    .quad .Lname1, .Lsha1, .Lbytes1, .Lend1 - .Lbytes1
    .quad .Lname2, .Lsha2, .Lbytes2, .Lend2 - .Lbytes2
cweights_files:
    .quad .Ltable

    .globl cweights_count
cweights_count:
    .quad 3
