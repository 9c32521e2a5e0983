#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the export in AuditRecordTests.swift from the words of docs/audit.md alone, without Kontur's code.

`kontur audit verify --file` of version 0.1.0 accepted the output. Prints one record per line, then the last line.
"""

import hashlib
import json
import struct

# The order of the hash.
FIELDS = """format number time previousHash event aeTitle address certificate user study series revision job instancesIn
    instancesOut predecessors count route configurationHash segmenter segmenterVersion weightsHash confidence outcome
    reason""".split()

RECORDS = [
    {"time": 1769000000000001, "event": "nodeStarted", "configurationHash": "c0ffee", "outcome": "success",
     "reason": "kontur 0.1.0"},
    {"time": 1769000001000000, "event": "jobDone", "aeTitle": "ORTHANC", "address": "10.0.0.1",
     "certificate": "CN=archive", "user": "admin", "study": "1.2.3", "series": "1.2.3.4", "revision": 2, "job": 7,
     "instancesIn": "1.1 1.2", "instancesOut": "2.25.1", "predecessors": "2.25.0", "count": 2, "route": "left-atrium",
     "configurationHash": "c0ffee", "segmenter": "left-atrium-compact", "segmenterVersion": "1.2.0",
     "weightsHash": "feed", "confidence": 0.875, "outcome": "success", "reason": "segmented"},
    {"time": -1, "event": "", "outcome": "retry", "reason": "", "count": 0, "confidence": 0.0},
]


def hash_of(record):
    """SHA-256 over the byte count and the bytes of each field."""
    digest = hashlib.sha256()
    for field in FIELDS:
        value = record.get(field)
        if value is None:
            digest.update(b"\xff" * 8)
            continue
        if isinstance(value, str):
            data = value.encode()
        else:
            data = struct.pack(">d" if isinstance(value, float) else ">q", value)
        digest.update(struct.pack(">Q", len(data)) + data)
    return digest.hexdigest()


def main():
    first = previous = "0" * 64
    for number, record in enumerate(RECORDS, 1):
        record |= {"format": 1, "number": number, "previousHash": previous}
        record["hash"] = previous = hash_of(record)
        print(json.dumps(record, sort_keys=True, separators=(",", ":")))
    end = {"previousHash": first, "head": previous, "records": len(RECORDS)}
    print(json.dumps(end, sort_keys=True, separators=(",", ":")))


if __name__ == "__main__":
    main()
