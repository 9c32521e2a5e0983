# SPDX-License-Identifier: Apache-2.0
"""Networks in PyTorch, with the tensor names that the Swift runtime reads."""
