# SPDX-License-Identifier: Apache-2.0
"""Turns a checkpoint into the fp16 file that ships, its scores and its model card."""
