# SPDX-License-Identifier: Apache-2.0
"""Pre-processing and post-processing of each network. `Sources/Segmentation` computes the same in Swift."""
