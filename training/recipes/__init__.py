# SPDX-License-Identifier: Apache-2.0
"""What happens before and after each network. `Sources/Segmentation` computes the same in Swift."""
