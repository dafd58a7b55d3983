"""Two images in 64 x 96 pixels, or other forms of them, and what the references read of them."""

from dataclasses import replace

import numpy as np
import torch

from hrdet.boxes import clip_boxes
from hrdet.structures import Batch, GroundTruth, ImageMeta, Proposals
from tests.models.reference_regions import Truth, View

SIZES = [(60, 90), (64, 70)]
SCALES = [(0.5, 0.5), (0.5, 0.4)]  # (x, y) input pixels per original pixel
ORIGINAL = [(120, 180), (160, 140)]
STUFF = 5


def batch(with_truth=True, flipped=False, factor=1, seed=1):
    """Two images of ``SIZES``, or these times ``factor``, in 64 x 96 pixels or more."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [(int(h * factor), int(w * factor)) for h, w in SIZES]
    padded = tuple(-(-max(side) // 32) * 32 for side in zip(*sizes))
    images = torch.randint(0, 255, (2, 3, *padded), generator=generator, dtype=torch.uint8)
    metas = [
        ImageMeta(f'{i}.jpg', i, ORIGINAL[i], sizes[i], padded, (x * factor, y * factor), flipped)
        for i, (x, y) in enumerate(SCALES)
    ]
    made = Batch(
        images,
        metas,
        torch.tensor(sizes, dtype=torch.float32),
        torch.tensor([padded] * 2, dtype=torch.float32),
    )
    return replace(made, truth=truth(generator)) if with_truth else made


def truth(generator):
    """Ellipses of whole pixels, and a map of stuff at stride 8 with unlabelled pixels."""
    boxes = torch.zeros(2, 3, 4)
    boxes[0] = torch.tensor([[4.0, 5, 30, 33], [40, 10, 80, 50], [10, 30, 26, 58]])
    boxes[1, :2] = torch.tensor([[0.0, 0, 20, 16], [30, 20, 66, 60]])
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(96) + 0.5, indexing='ij')
    x1, y1, x2, y2 = boxes[..., None, None, :].unbind(-1)
    across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
    semantic = torch.randint(0, STUFF, (2, 8, 12), generator=generator, dtype=torch.uint8)
    semantic[0, 2:4, :5] = 255
    return GroundTruth(
        boxes,
        torch.tensor([[0, 2, 1], [1, 0, 0]]),
        torch.zeros(2, 0, 4),
        masks=(across**2 + down**2 <= 1).to(torch.uint8),
        semantic=semantic,
        valid=torch.tensor([[True] * 3, [True, True, False]]),
        ignored_valid=torch.zeros(2, 0, dtype=torch.bool),
    )


def own(boxes, one):
    """Boxes as hrdet stores them to boxes as the model's convention writes them."""
    return np.asarray(boxes, float) - np.array([0, 0, one, one])


def truths(batch, one):
    rows = []
    for i, valid in enumerate(batch.truth.valid):
        boxes = own(batch.truth.boxes[i][valid], one)
        labels = batch.truth.labels[i][valid].tolist()
        rows.append(Truth(boxes, labels, batch.truth.masks[i][valid].numpy()))
    return rows


def pyramids(features):
    """Feature maps of a batch as one float64 pyramid an image."""
    count = len(features[0])
    return [[level[i].detach().double() for level in features] for i in range(count)]


def views(batch, features):
    """One view of each image of a batch."""
    return [
        View(pyramid, meta.input_size, meta.scale, meta.flipped)
        for pyramid, meta in zip(pyramids(features), batch.metas)
    ]


def close_to(truth):
    """Proposals that find objects at every stage: copies of these, off by some of their size.

    Every fourth is a row without a proposal.
    """
    generator = torch.Generator().manual_seed(2)
    boxes = truth.boxes.repeat(1, 12, 1)
    size = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 1, 2)
    shift = torch.linspace(0, 0.25, boxes.shape[1])[:, None]
    boxes = boxes + shift * size * torch.randn(boxes.shape, generator=generator)
    boxes = clip_boxes(boxes, torch.tensor(SIZES)[:, None], 'inclusive')
    valid = truth.valid.repeat(1, 12)
    valid[:, ::4] = False
    return Proposals(boxes, valid.float(), valid)


def rows(proposals, one):
    """The boxes of each image in the model's convention."""
    return [own(b[v], one) for b, v in zip(proposals.boxes, proposals.valid)]
