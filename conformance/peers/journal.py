# SPDX-License-Identifier: Apache-2.0
"""Reads a node's spool from outside and without Kontur, because checks must not trust Kontur."""

import hashlib
import os
import sqlite3

from processes import wait_until

# The states that still need work, by table.
UNFINISHED = {"instances": ["received"], "series": ["open"], "jobs": ["queued", "running"], "deliveries": ["pending"]}


class Journal:
    """The database and the files of one spool."""

    def __init__(self, spool):
        self.spool = spool

    def query(self, sql, *arguments):
        """The rows of one statement."""
        connection = sqlite3.connect(f"file:{self.spool}/kontur.sqlite?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, arguments).fetchall()
        finally:
            connection.close()

    def change(self, sql, *arguments):
        """Changes the database of a stopped node."""
        connection = sqlite3.connect(f"{self.spool}/kontur.sqlite")
        try:
            with connection:
                connection.execute(sql, arguments)
        finally:
            connection.close()

    def states(self):
        """The numbers of instances, series, stacks, jobs and deliveries in each state."""
        tables = {
            "instances": "instance", "series": "series", "stacks": "stack", "jobs": "job", "deliveries": "delivery"}
        connection = sqlite3.connect(f"file:{self.spool}/kontur.sqlite?mode=ro", uri=True, timeout=10)
        try:
            connection.execute("BEGIN")
            return {name: dict(connection.execute(f"SELECT state, count(*) FROM {table} GROUP BY state").fetchall())
                    for name, table in tables.items()}
        finally:
            connection.close()

    @staticmethod
    def busy(states):
        """Whether some of these states still need work."""
        return any(states[name].get(state) for name, unfinished in UNFINISHED.items() for state in unfinished)

    def settle(self, timeout):
        """Waits until all work is finished. Returns the states, or raises `PeerError` after `timeout` seconds."""
        found = {}

        def settled():
            found.update(self.states())
            return not self.busy(found)

        try:
            wait_until(settled, timeout, "the node to finish all work", 0.2)
        except Exception as error:
            raise type(error)(f"{error}; states: {found}") from None
        return found

    def stored_uids(self):
        """The SOP Instance UIDs of all instances in the journal."""
        return {row[0] for row in self.query("SELECT sopInstanceUID FROM instance")}

    def quarantined(self):
        """(SOP Instance UID, reason) of each quarantined instance."""
        return self.query("SELECT sopInstanceUID, why FROM instance WHERE state = 'quarantined'")

    def file_of(self, folder, name):
        """The present path of an instance's file. Quarantined files have moved."""
        path = os.path.join(self.spool, folder, name)
        return path if os.path.exists(path) else os.path.join(self.spool, "quarantine", name)

    def damaged_files(self):
        """The SOP Instance UIDs whose file is missing, or whose data set does not match the SHA-256 in the journal."""
        found = []
        for uid, folder, name, header, size, digest in self.query(
                "SELECT sopInstanceUID, folder, file, headerSize, size, sha256 FROM instance"):
            try:
                with open(self.file_of(folder, name), "rb") as file:
                    file.seek(header)
                    data = file.read()
            except OSError:
                found.append(uid)
                continue
            # A file that was found without a row and quarantined has its name in the place of its hash.
            if len(digest) == 32 and hashlib.sha256(data).digest() != digest:
                found.append(uid)
        return found

    def results(self):
        """The result of each stack of the newest revision of its series, with times from the audit trail."""
        rows = self.query("""
            SELECT s.seriesInstanceUID, s.modality, k.state, k.route, k.segmenter, k.why, j.id, j.state, j.confidence,
                j.outcome, j.why, (SELECT count(*) FROM stackInstance i WHERE i.stackId = k.id)
            FROM stack k JOIN series s ON s.id = k.seriesId AND s.revision = k.revision
            LEFT JOIN job j ON j.stackId = k.id ORDER BY s.id, k.id""")
        found = []
        for (series, modality, state, route, segmenter, why, job, job_state, confidence, outcome, job_why,
             images) in rows:
            times = dict(self.query(
                """SELECT event, max(time) FROM audit
                WHERE job = ? AND event IN ('jobRunning', 'jobDone') GROUP BY event""", job))
            seconds = (times["jobDone"] - times["jobRunning"]) / 1e6 if len(times) == 2 else None
            made = self.query("SELECT sopInstanceUID FROM derivedInstance WHERE jobId = ?", job)
            found.append({
                "series": series, "modality": modality, "state": state, "route": route, "segmenter": segmenter,
                "instances": images, "confidence": confidence, "seconds": seconds, "segs": [row[0] for row in made],
                "outcome": outcome or job_why or why or job_state or state})
        return found
