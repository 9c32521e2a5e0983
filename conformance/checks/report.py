# SPDX-License-Identifier: Apache-2.0
"""What a check prints and how it ends: 0 passed, 1 failed, 77 skipped."""

import sys
import time


class Report:
    """Collects what a check found; `end` leaves the program."""

    def __init__(self, name):
        self.name = name
        self.failures = []
        self.begin = time.monotonic()

    def line(self, text):
        print(text, flush=True)

    def expect(self, condition, failure):
        """Notes a failure unless the condition holds; returns whether it does."""
        if not condition:
            self.failures.append(failure)
            print(f"FAILED: {failure}", flush=True)
        return bool(condition)

    def skip(self, reason):
        print(f"{self.name} skipped: {reason}", flush=True)
        sys.exit(77)

    def end(self):
        seconds = time.monotonic() - self.begin
        verdict = f"failed, {len(self.failures)} times" if self.failures else "passed"
        print(f"{self.name} {verdict} in {seconds:.1f} s", flush=True)
        sys.exit(1 if self.failures else 0)
