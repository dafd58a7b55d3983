"""Normalise and pad a batch of uint8 images on the model's device."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hrdet.ranges import Count, Number, Positive
from hrdet.registry import register
from hrdet.structures import Batch


@register()
class Preprocess(nn.Module):
    """Normalise a batch as ``(value - mean) / std`` and pad it.

    The 2019 release divides; multiplying by ``1 / std`` differs in the last bit.

    Args:
        mean, std: one number a channel, in the network's channel order, for values 0..255.
        channel_order: the network's: ``'rgb'``, or ``'bgr'`` as the images are loaded.
        size_divisor: height and width are padded up to a multiple of it.
    """

    def __init__(
        self,
        mean: tuple[Number, Number, Number],
        std: tuple[Positive, Positive, Positive],
        channel_order: str = 'rgb',
        size_divisor: Count = 32,
    ) -> None:
        super().__init__()
        if channel_order not in ('rgb', 'bgr'):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr', not {channel_order!r}")
        if min(std) <= 0:
            raise ValueError(f'std must be above 0 in every channel, not {list(std)}')
        self.channel_order, self.size_divisor = channel_order, size_divisor
        self.register_buffer('mean', torch.tensor(mean, dtype=torch.float32), persistent=False)
        self.register_buffer('std', torch.tensor(std, dtype=torch.float32), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Images (N, 3, H, W) uint8 BGR to float32, exactly 0 outside each image's input size."""
        images = batch.images
        # 1. Pad the batch on the right and below: (N, 3, H, W), multiples of the divisor.
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % self.size_divisor, 0, -height % self.size_divisor))
        # 2. Padding is 0 after normalising, as if it had the mean colour.
        images = self.normalise(images)
        return images.masked_fill_(_outside(batch.input_sizes, images.shape[-2:]), 0)

    def normalise(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) uint8 BGR to float32 in the network's channel order."""
        # Images are loaded as BGR.  In place: one float32 copy of the batch (N, 3, H, W).
        if self.channel_order == 'rgb':
            images = images.flip(1)
        return images.float().sub_(self.mean[:, None, None]).div_(self.std[:, None, None])


def _outside(sizes: Tensor, shape: tuple[int, int]) -> Tensor:
    """(N, 1, H, W) bool: pixels beyond each image's own size (N, 2) as (h, w)."""
    rows = torch.arange(shape[0], device=sizes.device) >= sizes[:, :1]
    columns = torch.arange(shape[1], device=sizes.device) >= sizes[:, 1:]
    return rows[:, None, :, None] | columns[:, None, None, :]
