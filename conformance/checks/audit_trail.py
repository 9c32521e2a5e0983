#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tampers with an audit trail and expects `kontur audit verify` to find every change.

A small run leaves a trail. The check then changes a copy of its database behind the program's back: one byte of each
field of a record, a removed record, two swapped records, and a removed last record. `kontur audit verify` must name the
first record that does not fit, and `verify --head` must find the missing end.
"""

import os
import random
import re
import shutil
import sqlite3
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from node import ROOT, Node
from orthanc import Orthanc
from report import Report
from send import Sender, files, read_anything

# Number of records in which each field is changed, besides the first record.
SAMPLES = 2


class Copy:
    """A copy of a node's configuration and database, for tampering."""

    def __init__(self, node, folder):
        self.node, self.folder = node, folder
        os.makedirs(f"{folder}/spool", mode=0o700)
        source = sqlite3.connect(f"file:{node.spool}/kontur.sqlite?mode=ro", uri=True)
        target = sqlite3.connect(f"{folder}/spool/kontur.sqlite")
        source.backup(target)
        source.close()
        for (trigger,) in target.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            target.execute(f"DROP TRIGGER {trigger}")
        target.execute("PRAGMA ignore_check_constraints = 1")
        target.execute("PRAGMA foreign_keys = 0")
        target.commit()
        self.database = target
        with open(node.configuration) as file:
            text = file.read().replace(node.spool, f"{folder}/spool")
        self.configuration = f"{folder}/kontur.yaml"
        with open(self.configuration, "w") as file:
            file.write(text)

    def verify(self, *arguments):
        """The exit status and the output of `kontur audit verify` on the copy."""
        self.database.commit()
        keep, self.node.configuration = self.node.configuration, self.configuration
        try:
            status, output, errors = self.node.run("audit", "verify", *arguments)
            return status, output + errors
        finally:
            self.node.configuration = keep


def changed(value, kind, source):
    """The value of a column of this type with one byte changed; some value if the column was empty."""
    if value is None:
        return "x" if kind == "TEXT" else 1
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, float):
        return value + 0.001
    if not value:
        return "x"
    at = source.randrange(len(value))
    return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1:]


def names_record(words, number):
    return re.search(rf"\brecord {number}\b", words)


def main():
    report = Report("audit trail")
    source = random.Random(7)
    scratch = tempfile.mkdtemp(prefix="kontur-audit-")
    try:
        with Orthanc() as archive, Node(archive.dicom_port) as node:
            instances = [read_anything(path) for path in files([f"{ROOT}/samples-dicom/colonoscopy"])]
            Sender(node.port).send(instances, keep_trying=20)
            node.settle(120)
            node.stop()
            copy = Copy(node, f"{scratch}/copy")
            numbers = [row[0] for row in copy.database.execute("SELECT number FROM audit ORDER BY number")]
            kinds = {row[1]: row[2] for row in copy.database.execute("PRAGMA table_info(audit)")}
            columns = list(kinds)
            status, words = copy.verify()
            report.expect(status == 0, f"the untouched trail: {words}")
            report.line(words.strip())

            tried = 0
            for column in columns:
                for number in [1] + source.sample(numbers[1:], SAMPLES):
                    before = copy.database.execute(
                        f"SELECT {column} FROM audit WHERE number = ?", (number,)).fetchone()[0]
                    after = changed(before, kinds[column], source) if column != "number" else max(numbers) + 1000
                    copy.database.execute(f"UPDATE audit SET {column} = ? WHERE number = ?", (after, number))
                    status, words = copy.verify()
                    report.expect(status == 1, f"verify does not notice that {column} of record {number} changed")
                    # A record with another number leaves a gap, and the next record no longer fits.
                    close = (number, number + 1) if column in ("number", "hash") else (number,)
                    report.expect(any(names_record(words, one) for one in close),
                                  f"{column} of record {number} changed: {words.strip()[-200:]}")
                    back = number if column != "number" else after
                    copy.database.execute(f"UPDATE audit SET {column} = ? WHERE number = ?", (before, back))
                    tried += 1
            status, words = copy.verify()
            report.expect(status == 0, f"the restored trail: {words}")
            report.line(f"{tried} single changes in {len(columns)} fields, {len(numbers)} records")

            head = copy.database.execute("SELECT hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()[0]
            status, words = copy.verify("--head", head)
            report.expect(status == 0, f"verify --head of the whole trail: {words}")

            names = ", ".join(columns)
            for number in (1, numbers[len(numbers) // 2], numbers[-2]):
                row = copy.database.execute(f"SELECT {names} FROM audit WHERE number = ?", (number,)).fetchone()
                copy.database.execute("DELETE FROM audit WHERE number = ?", (number,))
                status, words = copy.verify()
                report.expect(status == 1 and (names_record(words, number) or names_record(words, number + 1)),
                              f"record {number} removed: {words.strip()[-200:]}")
                marks = ", ".join("?" * len(columns))
                copy.database.execute(f"INSERT INTO audit ({names}) VALUES ({marks})", row)

            one, other = numbers[len(numbers) // 3], numbers[len(numbers) // 2]
            for old, new in ((one, -1), (other, one), (-1, other)):
                copy.database.execute("UPDATE audit SET number = ? WHERE number = ?", (new, old))
            status, words = copy.verify()
            report.expect(status == 1 and names_record(words, one),
                          f"{one} and {other} swapped: {words.strip()[-200:]}")
            for old, new in ((one, -1), (other, one), (-1, other)):
                copy.database.execute("UPDATE audit SET number = ? WHERE number = ?", (new, old))

            copy.database.execute("DELETE FROM audit WHERE number = ?", (numbers[-1],))
            status, words = copy.verify("--head", head)
            report.expect(status == 1, f"the last record removed: verify --head says {words.strip()[-200:]}")
            report.line(f"last removed: {words.strip().splitlines()[-1]}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report.end()


if __name__ == "__main__":
    main()
