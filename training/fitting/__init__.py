# SPDX-License-Identifier: Apache-2.0
"""Trainings of the networks, and fits of everything that follows a finished network."""
