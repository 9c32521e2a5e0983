# SPDX-License-Identifier: Apache-2.0
"""The presence head of polyp-compact: is there a polyp in the frame at all?

A logistic regression on three statistics of the network's head, before its enlargement, for each view (flip) by itself;
with p = sigmoid(head):

    log(mean p + 1e-4)          how much
    max head                    how surely, where surest
    sum p^2 / sum p             how surely, where anything is found

    presence = sigmoid(mean over the views of weight . statistics + bias)

Richer heads (a perceptron on pooled features of the encoder and decoder, with and without these statistics) did worse on
hospitals they were not fitted to: there are 99 real frames without a polyp to learn from.
"""
import torch
from torch import nn

STATISTICS = 3


class Presence(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(STATISTICS))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, head):
        """Logit [batch] of head [batch, 1, rows, columns]."""
        return statistics(head) @ self.weight + self.bias


def statistics(head):
    p = torch.sigmoid(head)
    return torch.stack([torch.log(p.mean((1, 2, 3)) + 1e-4), head.amax((1, 2, 3)),
                        p.square().sum((1, 2, 3)) / p.sum((1, 2, 3))], dim=1)


@torch.no_grad()
def look(network, x):
    """(logits [batch, 1, rows, columns], presence logits [batch] or None without a head) of normalised images."""
    stages = dict(network.stages(x))
    return stages["logits"], network.presence(stages["head"]) if hasattr(network, "presence") else None
