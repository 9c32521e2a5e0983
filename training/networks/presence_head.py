# SPDX-License-Identifier: Apache-2.0
"""The presence head of polyp-compact, which estimates whether a frame shows a polyp at all.

It is a logistic regression on three statistics of the network's head before its enlargement, separately for each view
(flip). With p = sigmoid(head):

    log(mean p + 1e-4)          how much is marked
    max head                    how certain the most certain place is
    sum p^2 / sum p             how certain the marked places are

    presence = sigmoid(mean over the views of weight . statistics + bias)

Richer heads (a perceptron on pooled features of the encoder and decoder, with and without these statistics) did worse
on hospitals to which they were not fitted. Only 99 real frames without a polyp are available for a fit.
"""
import torch
from torch import nn

STATISTICS = 3


class Presence(nn.Module):
    """The logistic regression."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(STATISTICS))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, head):
        """The logit [batch] for the network's head output [batch, 1, rows, columns]."""
        return statistics(head) @ self.weight + self.bias


def statistics(head):
    """The three statistics [batch, 3] of the head output [batch, 1, rows, columns]."""
    p = torch.sigmoid(head)
    return torch.stack([torch.log(p.mean((1, 2, 3)) + 1e-4), head.amax((1, 2, 3)),
                        p.square().sum((1, 2, 3)) / p.sum((1, 2, 3))], dim=1)


@torch.no_grad()
def look(network, x):
    """The logits [batch, 1, rows, columns] of normalised images, and their presence logits [batch].

    The presence logits are None if the network does not have a presence head.
    """
    stages = dict(network.stages(x))
    return stages["logits"], network.presence(stages["head"]) if hasattr(network, "presence") else None
