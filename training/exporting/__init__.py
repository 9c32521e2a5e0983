# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to the fp16 file that ships, its scores and its model card."""
