#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a real Orthanc as the archive, with its own configuration and folder, on loopback, without plugins.

The kernel chooses the ports. `orthanc.py --kontur-port 11112` prints the addresses and runs until Ctrl-C.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request

from processes import PeerError, Process, free_port, wait_until


class Orthanc:
    """An Orthanc. Used as a context, it stops at the end of the context, and its folder is removed."""

    def __init__(self, kontur_port=None, kontur_title="KONTUR", title="ORTHANC", folder=None, stable_age=1,
                 overrides=None):
        """`kontur_port` is the port of the modality `kontur`. `overrides` adds keys to Orthanc's configuration."""
        self.title = title
        self.owns_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="kontur-archive-")
        self.dicom_port = free_port()
        self.http_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.process = None
        self.configuration = {
            "Name": title,
            "StorageDirectory": f"{self.folder}/db",
            "IndexDirectory": f"{self.folder}/db",
            "Plugins": [],
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": title,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True,
            "StableAge": stable_age,
            "SaveJobs": False,
            "JobsHistorySize": 1000,
            "DicomModalities": {},
        }
        if kontur_port:
            self.configuration["DicomModalities"]["kontur"] = [kontur_title, "127.0.0.1", kontur_port]
        self.configuration.update(overrides or {})

    def start(self, timeout=30):
        executable = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
        if not os.path.exists(executable):
            raise PeerError("Orthanc is not installed: apt-get install orthanc")
        os.makedirs(f"{self.folder}/db", exist_ok=True)
        path = f"{self.folder}/orthanc.json"
        with open(path, "w") as file:
            json.dump(self.configuration, file, indent=2)
        self.process = Process([executable, path], f"{self.folder}/orthanc.log", name="Orthanc")

        def answers():
            self.process.check()
            try:
                return self.get("/system")
            except (PeerError, OSError):
                return None

        wait_until(answers, timeout, "Orthanc to answer")
        return self

    def stop(self):
        if self.process:
            self.process.stop()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def request(self, method, path, body=None, accept=None, timeout=60):
        """The bytes of the answer. Raises a `PeerError` with Orthanc's own words if the status is not 2xx."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {"Accept": accept} if accept else {}
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise PeerError(f"{method} {path}: {error.code} {error.read()[:300]!r}") from None

    def get(self, path):
        return json.loads(self.request("GET", path))

    def post(self, path, body):
        return json.loads(self.request("POST", path, body) or b"null")

    def upload(self, path):
        """Uploads one DICOM file. Returns Orthanc's answer."""
        with open(path, "rb") as file:
            return self.post("/instances", file.read())

    def upload_tree(self, folder, progress=None):
        """Uploads every DICOM file under a folder. Returns the numbers of new and of refused files."""
        paths = sorted(os.path.join(root, name) for root, _, names in os.walk(folder) for name in names)
        stored = refused = 0
        for index, path in enumerate(paths):
            if is_dicom(path):
                try:
                    stored += self.upload(path).get("Status") == "Success"
                except PeerError:
                    refused += 1
            if progress:
                progress(index + 1, len(paths))
        return stored, refused

    def series(self, **tags):
        """Orthanc's descriptions of the series whose main DICOM tags have these values, such as `Modality="SEG"`."""
        every = self.get("/series?expand")
        return [one for one in every if all(one["MainDicomTags"].get(key) == value for key, value in tags.items())]

    def file(self, instance):
        """The DICOM file of an instance, which Orthanc's identifier selects."""
        return self.request("GET", f"/instances/{instance}/file")

    def save_series(self, series, folder):
        """Writes the instances of a series (Orthanc's identifier) into a folder. Returns their paths."""
        os.makedirs(folder, exist_ok=True)
        paths = []
        for instance in self.get(f"/series/{series}")["Instances"]:
            paths.append(os.path.join(folder, instance + ".dcm"))
            with open(paths[-1], "wb") as file:
                file.write(self.file(instance))
        return paths

    def save_segmentations(self, folder):
        """Writes every SEG of the archive into a folder. Returns their paths."""
        return sorted(path for one in self.series(Modality="SEG") for path in self.save_series(one["ID"], folder))


def is_dicom(path):
    """Whether a file has the DICM prefix of PS3.10."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kontur-port", type=int, default=11112, help="port of the modality kontur")
    parser.add_argument("--folder", help="folder of the archive (default: a temporary one)")
    options = parser.parse_args()
    with Orthanc(options.kontur_port, folder=options.folder) as archive:
        print(f"REST {archive.url}  DICOM {archive.title} at 127.0.0.1:{archive.dicom_port}  folder {archive.folder}")
        try:
            while archive.process.running():
                time.sleep(0.5)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
