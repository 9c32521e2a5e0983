#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Forwards what an Orthanc stores to Kontur, and does not give up: needs nothing but Python 3 and Orthanc's REST API.

It follows Orthanc's change log. Each series that has become stable is sent by an asynchronous job of Orthanc's own
(`POST /modalities/<name>/store`); a job that fails is resubmitted with a growing delay until it succeeds or the series
is deleted. SEG and SR series are skipped: they are answers, not questions. With --state the position in the change log
and the unfinished jobs survive a restart of this script, and of Orthanc. Sending a series twice is harmless: Kontur
stores an instance once.

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
    """The resource is not in Orthanc any more."""


class Rest:
    """Orthanc's REST API."""

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
    """What is still to be sent, and where in the change log we are."""

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
        """Writes the state beside the old one and puts it in its place, so that a crash leaves one of the two."""
        if not self.path:
            return
        with open(self.path + ".new", "w") as file:
            json.dump({"since": self.since, "pending": self.pending}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)

    def start(self, everything):
        """Where to begin when there is no saved state: at the oldest change, or at the newest."""
        if self.since is None:
            self.since = 0 if everything else self.rest.call("GET", "/changes?last")["Last"]
            self.save()

    def read_changes(self):
        """Takes in the changes since the last look; returns whether there were any."""
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
        """Moves every unfinished series one step: submit, look at the job, or submit again when its delay is over."""
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
            entry["job"] = None  # Orthanc was restarted and forgot its jobs: submit the series again.
            return True
        if job["State"] == "Success":
            say(f"sent {series}: {entry['instances']} instances, try {entry['tries']}")
            del self.pending[series]
            return True
        if job["State"] == "Failure":
            delay = min(self.longest_delay, self.first_delay * 2 ** (entry["tries"] - 1))
            say(f"failed {series}: {job.get('ErrorDescription', 'no reason given')}; again in {delay:g} s")
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
    parser.add_argument("--user", help="name for the REST API; its password is taken from ORTHANC_PASSWORD")
    parser.add_argument("--modality", default="kontur", help="Kontur's name in Orthanc's DicomModalities")
    parser.add_argument("--skip", default="SEG,SR", help="modalities that are not sent, separated by commas")
    parser.add_argument("--state", help="file that remembers what is unfinished")
    parser.add_argument("--everything", action="store_true", help="without a state: begin with the oldest change")
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
                say(f"cannot talk to Orthanc at {options.url}, still trying: {error}")
            unreachable = True
        time.sleep(options.interval)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
