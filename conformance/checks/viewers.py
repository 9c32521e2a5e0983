#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens images and SEGs of each viewer profile where OHIF, Weasis and dwv would draw them.

`kontur segment` writes the SEGs of both sample studies with each profile. The rules of `conformance/viewers`, which follow
the viewers' sources, decide where each viewer draws a mask. The check passes if the viewers of the table DRAWS draw every
mask on its own image, pixel by pixel, and the others do not draw anything elsewhere.

The rules run in node. With `--browser`, the page runs in Chromium, and its pixels are read back from the canvas.
`--dwv FOLDER` also opens everything in dwv itself: FOLDER holds its `dwv.min.js` (`dist` in a release of ivmartel/dwv).
"""

import argparse
import functools
import glob
import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

import pydicom

from node import ROOT, executable
from plain_seg import PlainSegmentation
from report import Report

VIEWERS = os.path.abspath(os.path.join(HERE, "..", "viewers"))
PROFILES = ("strict", "ohif", "slicer", "labelmap")

# The viewers that draw the whole SEG of a profile. docs/pacs.md shows the same table.
DRAWS = {
    "a volume": {
        "strict": {"OHIF", "Weasis", "dwv"}, "ohif": {"OHIF", "Weasis", "dwv"}, "slicer": {"OHIF", "Weasis", "dwv"},
        "labelmap": {"OHIF", "Weasis"}},
    "one still": {
        "strict": {"Weasis"}, "ohif": {"OHIF", "Weasis"}, "slicer": {"OHIF", "dwv"}, "labelmap": {"OHIF", "Weasis"}},
    "several stills": {
        "strict": {"Weasis"}, "ohif": {"OHIF", "Weasis"}, "slicer": {"OHIF"}, "labelmap": {"OHIF", "Weasis"}},
}


def write_sources(study, folder):
    """Copies a study without compression, because dwv's decoders are not needed here. Returns path by UID."""
    paths = {}
    for path in sorted(glob.glob(f"{ROOT}/samples-dicom/{study}/*.dcm")):
        data = pydicom.dcmread(path)
        if data.file_meta.TransferSyntaxUID.is_compressed:
            data.decompress(generate_instance_uid=False)
        paths[data.SOPInstanceUID] = f"{folder}/{os.path.basename(path)}"
        data.save_as(paths[data.SOPInstanceUID])
    return paths


def runs(mask):
    """The set pixels of a mask as [first, length], as `runs.js` gives them."""
    found, at = [], mask.find(1)
    while at >= 0:
        end = mask.find(0, at)
        end = len(mask) if end < 0 else end
        found.append([at, end - at])
        at = mask.find(1, end)
    return found


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves the folders of a page, and takes its report."""

    folders, reports = {}, queue.Queue()
    extensions_map = {".js": "text/javascript", ".html": "text/html", "": "application/octet-stream"}

    def translate_path(self, path):
        name, _, rest = urllib.parse.unquote(urllib.parse.urlsplit(path).path)[1:].partition("/")
        return os.path.join(self.folders.get(name, "/nonexistent"), rest)

    def do_POST(self):
        self.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Browser:
    """Chromium without a window, and a server on loopback for its pages."""

    def __init__(self, folders):
        self.program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        Files.folders = folders
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def open(self, page, seg, images, picture=None):
        """Opens a page with a SEG and images. Returns its report, or None if none came within a minute."""
        query = [("seg", seg), ("post", "/report"), ("patience", "15000"), *(("image", image) for image in images)]
        url = f"http://127.0.0.1:{self.server.server_port}/viewers/{page}?{urllib.parse.urlencode(query)}"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            command = [self.program, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
            process = subprocess.Popen([*command, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       start_new_session=True)
            try:
                found = Files.reports.get(timeout=60)
            except queue.Empty:
                found = None
            finally:
                # Chromium has children of its own, and its end may take long.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(20)
            if picture:
                subprocess.run([*command, "--window-size=1400,2200", "--virtual-time-budget=20000",
                                f"--screenshot={picture}", url], capture_output=True, timeout=60)
        while not Files.reports.empty():
            Files.reports.get()
        return found

    def close(self):
        self.server.shutdown()


def judge(report, where, profile, viewer, drawn, reason, masks, draws):
    """Compares what a viewer drew with the masks by (UID, frame)."""
    found = {(one["uid"], one["frame"]): one["runs"] for one in drawn}
    wrong = [key for key, pixels in found.items() if masks.get(key) != pixels]
    report.expect(not wrong, f"{viewer} draws {len(wrong)} masks of {profile} elsewhere ({where})")
    expected = viewer.split()[0] in draws
    report.expect((found == masks) == expected,
                  f"{viewer} draws {len(found)} of {len(masks)} masks of {profile} ({where}): {reason}")
    return "in place" if found == masks else f"{len(found)} of {len(masks)}: {reason}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--browser", action="store_true", help="run the page in Chromium too")
    parser.add_argument("--dwv", metavar="FOLDER", help="open everything in this dwv too")
    parser.add_argument("--pictures", metavar="FOLDER", help="write pictures of the pages to this folder")
    options = parser.parse_args()
    report = Report("viewers")
    if not shutil.which("node"):
        report.skip("node is not installed")
    with tempfile.TemporaryDirectory(prefix="kontur-viewers-") as scratch:
        browser = None
        if options.browser or options.dwv:
            browser = Browser({"viewers": VIEWERS, "files": scratch, "dwv": os.path.abspath(options.dwv or scratch)})
            report.expect(browser.program, "Chromium is not installed")
        os.makedirs(f"{scratch}/sources")
        sources = {**write_sources("lge", f"{scratch}/sources"), **write_sources("colonoscopy", f"{scratch}/sources")}
        for profile in PROFILES:
            output = f"{scratch}/{profile}"
            subprocess.run([executable(), "segment", f"{scratch}/sources", "--viewer-profile", profile, "-o", output],
                           check=True, capture_output=True, timeout=120)
            for path in sorted(glob.glob(f"{output}/*.dcm")):
                check(report, options, browser, scratch, profile, path, sources)
        if browser:
            browser.close()
    report.end()


def check(report, options, browser, scratch, profile, path, sources):
    """Opens one SEG with the images that it references."""
    with open(path, "rb") as file:
        plain = PlainSegmentation(file.read())
    masks = {}
    for frame in range(plain.frames):
        (uid, numbers), = plain.sources(frame)
        masks[uid, numbers[0] if numbers else 1] = runs(plain.mask(frame))
    listed = [plain.text(item, 0x00081155) for series in plain.items(plain.elements, 0x00081115)
              for item in plain.items(series, 0x0008114A)]
    images = [sources[uid] for uid in listed]
    where = "a volume" if plain.position(0) and len(images) > 6 else "one still" if len(images) == 1 else "several stills"
    judged = functools.partial(judge, report, where, profile, masks=masks, draws=DRAWS[where][profile])
    done = subprocess.run(["node", f"{VIEWERS}/run.mjs", path, *images], capture_output=True, text=True, timeout=60)
    if not report.expect(done.returncode == 0, f"node: {done.stderr[-300:]}"):
        return
    words = [f"{viewer} {judged(viewer, **one)}" for viewer, one in json.loads(done.stdout).items()]
    urls = [f"/files/{os.path.relpath(one, scratch)}" for one in (path, *images)]
    if browser and options.browser:
        picture = options.pictures and os.path.abspath(f"{options.pictures}/{profile}-{os.path.basename(path)}.png")
        found = browser.open("index.html", urls[0], urls[1:], picture) or {"error": "no report"}
        if report.expect("error" not in found, f"the page: {found.get('error')}"):
            for viewer, one in found.items():
                judged(f"{viewer} in the page", drawn=one["drawn"], reason=one["reason"])
    if browser and options.dwv:
        found = browser.open("dwv.html", urls[0], urls[1:]) or {"drawn": [], "reason": "no report"}
        words.append(f"dwv itself {judged('dwv itself', drawn=found['drawn'], reason=found['reason'])}")
    report.line(f"{profile}, {where}, {plain.frames} frames: {'; '.join(words)}")


if __name__ == "__main__":
    main()
