# SPDX-License-Identifier: Apache-2.0
"""Numbers for the Swift tests, and comparisons of the runtime with the reference packages."""
