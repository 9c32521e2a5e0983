# SPDX-License-Identifier: Apache-2.0
"""Writes Sources/CWeights/weights.S, the table of shipped networks: python -m training.exporting.embed

The table lists the files in Sources/CWeights/files. The assembler finds them through the target's header search path. A
file's name contains its hash. New weights therefore change the text of weights.S, so an incremental build includes
them.
"""
import hashlib
import re

from training.paths import WEIGHTS

HEAD = """\
// SPDX-License-Identifier: Apache-2.0
// Written by training/exporting/embed.py from files/: see include/CWeights.h.

#if defined(__linux__) && defined(__ELF__)
    .section .note.GNU-stack, "", %progbits
#endif
"""


def entry(path):
    """Name, SHA-256 and file name of one weight file."""
    name, short = re.fullmatch(r"(.+)-([0-9a-f]{8})", path.stem).groups()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest.startswith(short), f"{path.name}: the bytes have the hash {digest[:8]}"
    return name, digest, path.name


def write():
    """Writes weights.S for the weight files that are there."""
    entries = sorted(entry(path) for path in WEIGHTS.glob("*.safetensors"))
    text = [HEAD, "    .section .rodata\n"]
    for k, (name, digest, file) in enumerate(entries):
        text.append(f'.Lname{k}:\n    .asciz "{name}"\n.Lsha{k}:\n    .asciz "{digest}"\n'
                    f'    .balign 64\n.Lbytes{k}:\n    .incbin "{file}"\n.Lend{k}:\n    .byte 0\n')
    text.append("\n    .section .data.rel.ro, \"aw\"\n    .balign 8\n    .globl cweights_files\n.Ltable:\n")
    for k in range(len(entries)):
        text.append(f"    .quad .Lname{k}, .Lsha{k}, .Lbytes{k}, .Lend{k} - .Lbytes{k}\n")
    text.append("cweights_files:\n    .quad .Ltable\n")
    text.append(f"\n    .globl cweights_count\ncweights_count:\n    .quad {len(entries)}\n")
    (WEIGHTS.parent / "weights.S").write_text("".join(text))


if __name__ == "__main__":
    write()
