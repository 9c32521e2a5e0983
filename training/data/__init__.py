# SPDX-License-Identifier: Apache-2.0
"""Training data: reading, splitting, caching, augmenting and drawing images, masks and prompts."""
