"""Mixup and CutMix: train on mixtures of two images.

Numbers are drawn on the host, from numpy's global generator, which the engine seeds at every
iteration: nothing waits for the device.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet.ranges import Positive
from hrdet.registry import register


class _Mixing:
    """Mixes every image of a batch with another one of it.

    Args:
        alpha: of the Beta distribution of the share that an image keeps; larger mixes more evenly.
    """

    def __init__(self, alpha: Positive = 1.0) -> None:
        if alpha <= 0:
            raise ValueError(f'alpha must be above 0, not {alpha}')
        self.alpha = alpha

    def __call__(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Mixed images (N, 3, H, W) and their soft labels (N, K), from labels of that shape."""
        # Every image is mixed with the one that a permutation puts in its place.
        order = torch.from_numpy(np.random.permutation(len(images)))  # noqa: NPY002
        order = order.to(images.device, non_blocking=True)
        share = float(np.random.beta(self.alpha, self.alpha))  # noqa: NPY002
        images, share = self._mix(images, images[order], share)
        return images, share * target + (1 - share) * target[order]

    def _mix(self, images: Tensor, others: Tensor, share: float) -> tuple[Tensor, float]:
        raise NotImplementedError


@register()
class Mixup(_Mixing):
    """Weighted means of images and labels (Zhang et al. 2018, arXiv 1710.09412)."""

    def _mix(self, images: Tensor, others: Tensor, share: float) -> tuple[Tensor, float]:
        return torch.lerp(others, images, share), share


@register()
class CutMix(_Mixing):
    """A box of another image pasted in (Yun et al. 2019, arXiv 1905.04899).

    Labels are mixed by the area of the box inside the image.
    """

    def _mix(self, images: Tensor, others: Tensor, share: float) -> tuple[Tensor, float]:
        height, width = images.shape[-2:]
        # 1. A box of ``1 - share`` of the area around a random pixel, cut at the border.
        ratio = math.sqrt(1 - share)
        h, w = int(height * ratio), int(width * ratio)
        y, x = np.random.randint(height), np.random.randint(width)  # noqa: NPY002
        rows = slice(max(y - h // 2, 0), min(y + h // 2, height))
        columns = slice(max(x - w // 2, 0), min(x + w // 2, width))
        # 2. Paste it; labels are mixed by the area that it covers.
        images = images.clone()
        images[..., rows, columns] = others[..., rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return images, 1 - area / (height * width)


def mix(
    images: Tensor, labels: Tensor, num_classes: int, augments: Sequence[_Mixing]
) -> tuple[Tensor, Tensor]:
    """One of ``augments``, drawn evenly, applied to a batch; labels (N,) become soft (N, K)."""
    if not augments:
        return images, labels
    target = F.one_hot(labels, num_classes).float()
    return augments[np.random.randint(len(augments))](images, target)  # noqa: NPY002
