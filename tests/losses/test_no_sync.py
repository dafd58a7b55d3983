"""The losses of pixels never ask the device for a number, nor copy one to it."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from hrdet.losses.accuracy import pixel_accuracy
from hrdet.losses.cross_entropy import hard_pixels, pixel_cross_entropy

WEIGHT = torch.tensor([0.5, 1.0, 2.0])
WAITS = ('nonzero', '_local_scalar_dense', 'masked_select', 'bincount', 'equal', 'lift_fresh')


class NoSync(TorchDispatchMode):
    """Raises on operations that wait for a device, and on tensors made of Python numbers."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert not name.startswith(WAITS), f'{name} waits for the device'
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    'compute',
    [
        pixel_cross_entropy,
        lambda x, y: pixel_cross_entropy(x, y, avg_non_ignore=True),
        lambda x, y: pixel_cross_entropy(x, y, class_weight=WEIGHT, avg_class_weight=True),
        lambda x, y: hard_pixels(x, y, min_kept=5),
        lambda x, y: hard_pixels(x, y, thresh=0.5, min_kept=5),
        pixel_accuracy,
    ],
)
def test_without_a_host_sync(compute):
    logits = torch.randn(2, 3, 4, 5)
    labels = torch.randint(0, 3, (2, 4, 5))
    labels[0] = 255
    with NoSync():
        compute(logits, labels)
