# SPDX-License-Identifier: Apache-2.0
"""The recipe of polyp-compact: the processing of a colonoscopy frame before and after the network.

0. Cut the RGB frame (0...255) to its endoscopic field, with black outside (`endoscopic_field.py`).
1. Resize it to SIZE x SIZE with `resize.resize`. The frame is stretched and not rounded.
2. Subtract MEAN and divide by STD, after dividing by 255.
3. Run the network on the square and on the square turned by half. If these two views disagree (`agree`), run it on the
   other two flips, too. Average the probabilities of the views.
4. Resize the mean probability to the size of the field's box, and set it to zero outside the field. The mask is where it
   is at least 0.5.

The presence head (networks/presence_head.py) gives one logit per flip. If the sigmoid of the mean logit is below
PRESENCE_THRESHOLD, the frame does not show a polyp. The recipe then multiplies the probabilities by that sigmoid, which
empties the mask.

If the likeness of the square (step 1) to the training frames is below LEAST_LIKE, the confidence is at most DOUBTFUL. Grey
frames are among these, because all training frames have colours.
"""
import numpy as np
import torch

from training.networks import presence_head
from training.networks.residual_unet import POLYP_COMPACT
from training.recipes import endoscopic_field
from training.recipes.confidence import Answer, measures
from training.recipes.likeness import frame_statistics, likeness
from training.recipes.resize import resize
from training.scores import dice

NAME = "polyp-compact"
VERSION = "1.3.1"  # of the recipe, as the runtime names it
ARCHITECTURE = POLYP_COMPACT
SIZE = 256
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
FLIPS = [(), (2, 3), (3,), (2,)]  # the first two are always computed
VIEWS = "two or four flips"
AGREEMENT = 0.95  # least Dice of the masks of the first two views, if they agree on a polyp
CLEAR_PRESENCE = 0.7  # least presence of both views together then
CLEAR_ABSENCE = 0.1, 0.3  # greatest presence of both views, and of each, if they agree that there is no polyp
REDNESS, YELLOWNESS = (0.488, 0.119), (0.274, 0.118)  # of every third training frame
LEAST_LIKE, DOUBTFUL = 0.0005, 0.25
PRESENCE_THRESHOLD = 0.5  # not above the threshold of the pixels, so that an absent polyp leaves an empty mask
NORMALISATION = {"scale": 1 / 255, "mean": MEAN.tolist(), "std": STD.tolist(), "threshold": 0.5, "size": [SIZE, SIZE],
                 "presence_threshold": PRESENCE_THRESHOLD}


def normalise(image):
    """The network's input float32 [3, rows, columns] for an RGB image [rows, columns, 3] in 0...255."""
    return ((image / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float32)


def presence(logits):
    """The probability that the frame shows a polyp, from the presence logits of some views."""
    return 1 / (1 + np.exp(-np.mean(logits)))


def agree(each, logits):
    """Whether two views say the same so clearly that two more would hardly change the answer.

    `each` holds their probabilities, and `logits` their presence logits, or None.
    """
    if logits is not None:
        found = presence(logits)
        if found < PRESENCE_THRESHOLD:
            return found < CLEAR_ABSENCE[0] and all(presence([logit]) < CLEAR_ABSENCE[1] for logit in logits)
        if found <= CLEAR_PRESENCE:
            return False
    return dice(each[0] >= 0.5, each[1] >= 0.5) >= AGREEMENT


@torch.no_grad()
def probabilities(network, image, flips=FLIPS):
    """Foreground probability [SIZE, SIZE] of each flip, and the presence logit of each flip.

    The flips after the second are left out if the first two agree.

    `image` is uint8 RGB [rows, columns, 3]. The logits are None if the network does not have a presence head.
    """
    x = torch.from_numpy(normalise(resize(image, (SIZE, SIZE))))[None]
    each, logits = [], []
    for axes in flips:
        if len(each) == 2 and agree(each, logits if logits[0] is not None else None):
            break
        output, found = presence_head.look(network, x.flip(axes))
        each.append(torch.sigmoid(output).flip(axes)[0, 0].numpy())
        logits.append(None if found is None else float(found))
    return each, None if logits[0] is None else logits


def gate(probability, logits):
    """The probability after the presence head, and the presence (None without a presence head)."""
    if logits is None:
        return probability, None
    found = presence(logits)
    return (probability * np.float32(found) if found < PRESENCE_THRESHOLD else probability), float(found)


def answer(network, image, logit=None):
    """The `Answer` of the whole recipe. If `logit` is given, it replaces the mean presence logit of the flips."""
    field = endoscopic_field.find(image)
    picture = field.picture(image)
    alike = likeness(frame_statistics(resize(picture, (SIZE, SIZE))), (REDNESS, YELLOWNESS))
    each, logits = probabilities(network, picture)
    mean = np.mean(each, axis=0, dtype=np.float32)
    probability, found = gate(field.placed(resize(mean, picture.shape[:2])), logits if logit is None else [logit])
    plain = gate(field.placed(resize(each[0], picture.shape[:2])), logits and logits[:1])[0]
    return Answer(plain >= 0.5, probability >= 0.5, probability,
                  measures(mean >= 0.5, mean, [view >= 0.5 for view in each], found, alike),
                  most=1.0 if alike >= LEAST_LIKE else DOUBTFUL)


def predict(network, image):
    """The mask [rows, columns] of the unflipped frame alone."""
    field = endoscopic_field.find(image)
    picture = field.picture(image)
    each, logits = probabilities(network, picture, FLIPS[:1])
    return gate(field.placed(resize(each[0], picture.shape[:2])), logits)[0] >= 0.5
