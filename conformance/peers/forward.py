#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forwards the series of an Orthanc to Kontur and never gives up. Needs only Python 3 and Orthanc's REST API.

The script follows Orthanc's change log. It sends each series that has become stable by one of Orthanc's own
asynchronous jobs (`POST /modalities/<name>/store`). It submits a failed job again, with a growing delay, until the
job succeeds or the series is deleted. It skips SEG and SR series, because these are results. With --state, the
position in the change log and the unfinished series survive a restart of this script and of Orthanc. Sending a series
twice is harmless: Kontur stores each instance once.

    forward.py --url http://127.0.0.1:8042 --modality kontur --state /var/lib/kontur-forward.json
"""

import argparse
import base64
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request


class Gone(Exception):
    """Orthanc does not have the resource any more."""


class Rest:
    """Calls Orthanc's REST API."""

    def __init__(self, url, user=None, password=None, timeout=30):
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.headers = {"Content-Type": "application/json"}
        if user:
            token = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
            self.headers["Authorization"] = f"Basic {token}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                raise Gone(path) from None
            raise


class Forwarder:
    """The series that are still to be sent, and the position in the change log."""

    def __init__(self, rest, modality, skip, state=None, first_delay=5, longest_delay=600):
        self.rest = rest
        self.modality = modality
        self.skip = set(skip)
        self.path = state
        self.first_delay = first_delay
        self.longest_delay = longest_delay
        self.since = None
        self.pending = {}
        if state and os.path.exists(state):
            with open(state) as file:
                saved = json.load(file)
            self.since = saved["since"]
            self.pending = saved["pending"]
            for entry in self.pending.values():
                entry["due"] = 0

    def save(self):
        """Writes the state to a new file, then replaces the old one, so that a crash leaves one of the two."""
        if not self.path:
            return
        with open(self.path + ".new", "w") as file:
            json.dump({"since": self.since, "pending": self.pending}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)

    def start(self, everything):
        """Without a saved state, begins at the oldest change (`everything`) or at the newest."""
        if self.since is None:
            self.since = 0 if everything else self.rest.call("GET", "/changes?last")["Last"]
            self.save()

    def read_changes(self):
        """Reads the next page of changes. Returns whether the change log has more."""
        page = self.rest.call("GET", f"/changes?since={self.since}&limit=500")
        for change in page["Changes"]:
            if change["ChangeType"] == "StableSeries":
                self.add(change["ID"])
        moved = page["Last"] != self.since
        self.since = page["Last"]
        if moved:
            self.save()
        return moved and not page["Done"]

    def add(self, series):
        """Adds a series unless it is gone or its modality is skipped."""
        try:
            description = self.rest.call("GET", f"/series/{series}")
        except Gone:
            return
        modality = description["MainDicomTags"].get("Modality", "")
        if modality in self.skip:
            say(f"skipped {series}: {modality}")
            return
        self.pending[series] = {"job": None, "tries": 0, "due": 0, "instances": len(description["Instances"])}

    def advance(self):
        """Moves every unfinished series one step."""
        changed = False
        for series, entry in list(self.pending.items()):
            try:
                changed |= self.step(series, entry)
            except Gone:
                say(f"dropped {series}: deleted from the archive")
                del self.pending[series]
                changed = True
        if changed:
            self.save()

    def step(self, series, entry):
        """Submits a series when its delay is over, or looks at its job. Returns whether the state changed.

        Raises `Gone` if the series was deleted from the archive.
        """
        if entry["job"] is None:
            if time.time() < entry["due"]:
                return False
            self.rest.call("GET", f"/series/{series}")
            job = self.rest.call(
                "POST", f"/modalities/{self.modality}/store", {"Resources": [series], "Synchronous": False})
            entry["job"] = job["ID"]
            entry["tries"] += 1
            return True
        try:
            job = self.rest.call("GET", f"/jobs/{entry['job']}")
        except Gone:
            entry["job"] = None  # Orthanc forgets its jobs at a restart, so the series is submitted again.
            return True
        if job["State"] == "Success":
            say(f"sent {series}: {entry['instances']} instances, try {entry['tries']}")
            del self.pending[series]
            return True
        if job["State"] == "Failure":
            delay = min(self.longest_delay, self.first_delay * 2 ** (entry["tries"] - 1))
            reason = job.get("ErrorDescription", "Orthanc does not give a reason")
            say(f"failed {series}: {reason}; next try in {delay:g} s")
            entry["job"] = None
            entry["due"] = time.time() + delay
            return True
        return False


def say(text):
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), text, flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8042", help="Orthanc's REST API")
    parser.add_argument("--user", help="user of the REST API; the variable ORTHANC_PASSWORD holds the password")
    parser.add_argument("--modality", default="kontur", help="Kontur's name in Orthanc's DicomModalities")
    parser.add_argument("--skip", default="SEG,SR", help="modalities to skip, separated by commas")
    parser.add_argument("--state", help="file that remembers the position in the change log and the unfinished series")
    parser.add_argument("--everything", action="store_true", help="begin with the oldest change if there is no state")
    parser.add_argument("--interval", type=float, default=1, help="seconds between two looks at the change log")
    parser.add_argument("--first-delay", type=float, default=5, help="seconds before a failed series is sent again")
    parser.add_argument("--longest-delay", type=float, default=600, help="the delay doubles up to this many seconds")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    rest = Rest(options.url, options.user, os.environ.get("ORTHANC_PASSWORD"))
    skip = [word for word in options.skip.split(",") if word]
    forwarder = Forwarder(
        rest, options.modality, skip, options.state, options.first_delay, options.longest_delay)
    unreachable = False
    while True:
        try:
            forwarder.start(options.everything)
            while forwarder.read_changes():
                pass
            forwarder.advance()
            unreachable = False
        except (OSError, ValueError) as error:
            if not unreachable:
                say(f"cannot reach Orthanc at {options.url}, trying again: {error}")
            unreachable = True
        time.sleep(options.interval)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
