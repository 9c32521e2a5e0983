# SPDX-License-Identifier: Apache-2.0
"""Trains, exports and checks the networks that ship inside Kontur: see README.md."""
