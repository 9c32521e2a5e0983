# SPDX-License-Identifier: Apache-2.0
"""The output of a check and its exit status: 0 passed, 1 failed, 77 skipped."""

import sys
import time

# Seconds within which a node must stop.
STOP_WITHIN = 10


class Report:
    """Collects the findings of a check. `end` exits the program."""

    def __init__(self, name):
        self.name = name
        self.failures = []
        self.begin = time.monotonic()

    def line(self, text):
        print(text, flush=True)

    def expect(self, condition, failure):
        """Notes a failure unless the condition holds. Returns whether it holds."""
        if not condition:
            self.failures.append(failure)
            print(f"FAILED: {failure}", flush=True)
        return bool(condition)

    def expect_nothing_dead(self, states):
        """Notes a failure if a job or a delivery is dead."""
        self.expect(not states["jobs"].get("dead") and not states["deliveries"].get("dead"),
                    f"a job or delivery is dead: {states}")

    def expect_whole_trail(self, node):
        """Notes a failure unless `kontur audit verify` accepts the node's audit trail."""
        status, output, errors = node.run("audit", "verify")
        self.expect(status == 0, f"audit verify: {output} {errors}")

    def expect_stopped(self, ended, node="the node"):
        """Notes a failure unless `ended`, an exit status and the seconds until the exit, is a clean stop in time."""
        status, seconds = ended
        self.expect(status == 0 and seconds < STOP_WITHIN, f"{node} ended with status {status} after {seconds:.1f} s")

    def skip(self, reason):
        print(f"{self.name} skipped: {reason}", flush=True)
        sys.exit(77)

    def end(self):
        seconds = time.monotonic() - self.begin
        verdict = f"failed with {len(self.failures)} failures" if self.failures else "passed"
        print(f"{self.name} {verdict} in {seconds:.1f} s", flush=True)
        sys.exit(1 if self.failures else 0)
