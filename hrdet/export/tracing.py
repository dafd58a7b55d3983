"""Trace a model: the graph of its ``predict_tensors``.

N images of (H, W).
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from hrdet.data.inputs import ImagePipeline
from hrdet.models.base import BaseModel
from hrdet.models.views import augmented_batches
from hrdet.optimize.model import fold_norms
from hrdet.registry import ConfigError

SIDE_DIVISOR = 32  # of sides that vary: every branch of an HRNet then has a whole number of pixels
# Heights and widths in the usual proportions of photos and screens, and a square.
_SHAPES = ((480, 480), (480, 640), (480, 720), (480, 800), (450, 800), (480, 960))


@dataclass(frozen=True)
class Dynamic:
    """Which sides of the input (N, 3, H, W) of a file vary from call to call."""

    batch: bool = False
    size: bool = False


class _Results(nn.Module):
    """``predict_tensors`` as the ``forward`` that torch.export asks for."""

    def __init__(self, model: BaseModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, sizes: Tensor | None = None) -> dict[str, Tensor]:
        return self.model.predict_tensors(images, sizes)


def trace(
    model: BaseModel, shape: tuple[int, int, int], dynamic: Dynamic = Dynamic()
) -> ExportedProgram:
    """The graph of a model's ``predict_tensors``, with batch norms folded into convolutions.

    Args:
        model: in eval mode, on the CPU, not optimized.
        shape: N, H and W of the input.
        dynamic: what may differ from ``shape``; sides are then multiples of ``SIDE_DIVISOR``.

    Raises:
        ConfigError: the model has no such graph, or none with these sides; the message says what
            works.
    """
    count, height, width = shape
    if type(model).predict_tensors is BaseModel.predict_tensors:
        raise ConfigError(f'{type(model).__name__} has no predict_tensors, which is what is traced')
    model.check_tracing(dynamic.batch, dynamic.size)
    if dynamic.size and (height % SIDE_DIVISOR or width % SIDE_DIVISOR):
        raise ConfigError(
            f'sides that vary are multiples of {SIDE_DIVISOR}, not {height} x {width}: give such a '
            f'--size, or leave out --dynamic size'
        )
    # 1. A copy without norms, with the same results to rounding.
    folded = copy.deepcopy(model).float().requires_grad_(False)
    fold_norms(folded)
    # 2. Inputs.  Two images stand for any number: torch.export takes a side of 1 for a constant.
    count = max(count, 2) if dynamic.batch else count
    inputs = dict(images=torch.zeros(count, 3, height, width, dtype=torch.uint8))
    sides = {0: Dim('batch', min=1)} if dynamic.batch else {}
    shapes = dict(images=dict(sides))
    if dynamic.size:
        shapes['images'] |= {2: SIDE_DIVISOR * Dim('rows'), 3: SIDE_DIVISOR * Dim('columns')}
    if model.takes_padded:
        inputs['sizes'] = torch.tensor([[height, width]] * count, dtype=torch.float32)
        shapes['sizes'] = sides
    with torch.no_grad():
        return torch.export.export(
            _Results(folded).eval(), (), inputs, dynamic_shapes=shapes, strict=False
        )


def largest_test_size(pipeline: ImagePipeline) -> tuple[int, int]:
    """The (h, w) that holds landscape pictures of usual proportions after a config's transforms."""
    pictures = [np.zeros((h, w, 3), np.uint8) for h, w in _SHAPES]
    batch = augmented_batches(pipeline(pictures, ['picture'] * len(pictures)), rescale=True)[0]
    height, width = batch.input_sizes.amax(0).int().tolist()
    return height, width
