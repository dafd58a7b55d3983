"""A copy of a trained model for fast inference, with the same results.

Batch norms are folded into convolutions, maps and weights are channels_last, and on a CPU 3x3
convolutions use Winograd's algorithm.
"""

import copy
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval

from hrdet.models.base import BaseModel
from hrdet.ops.malloc import keep_memory
from hrdet.optimize.cpu_layers import WinogradConv2d, fast_layers
from hrdet.optimize.cpu_training import plain_layers
from hrdet.optimize.cuda_graphs import graphed
from hrdet.registry import ConfigError
from hrdet.structures import Batch, Views

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
_ARITHMETIC = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.GroupNorm)


def optimize(
    model: BaseModel,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.channels_last,
    graph: bool | int = False,
    compile: bool = False,
) -> BaseModel:
    """A copy of a model that only predicts, faster; the model itself stays as it is.

    By default results are the same but for rounding (1e-3 of a score or a pixel).  GPUs since
    Ampere round the float32 inputs of a convolution to 10 bits (TF32) unless
    ``torch.backends.cudnn.allow_tf32`` is False: then the model and its copy are equally far from
    exact results, and further from each other.

    The ``state_dict`` of the copy cannot be loaded into a model: norms are gone, and weights
    changed.  On a CPU the process keeps freed memory from now on (``hrdet.ops.malloc``), and a
    batch is predicted in groups of as many images as torch has threads.

    Args:
        model: in eval mode, on the device where it will run.
        dtype: of weights and feature maps: float32, bfloat16 or (on a GPU) float16.  The
            ``float32_layers`` of heads, and all arithmetic on boxes, stay float32.
        memory_format: of maps and weights; channels_last is faster.
        graph: replay backbone, neck and ``model.heads()`` as CUDA graphs, one for each of the most
            frequent input shapes.  A number, a multiple of 32, pads images to multiples of it, so
            that there are few shapes; objects at padded borders may then score slightly
            differently.  Such a model predicts in one thread at a time.
        compile: ``torch.compile`` backbone and neck, which takes minutes on a CPU at the first
            image, and again for new input shapes.

    Raises:
        ConfigError: the model is training, or an argument does not fit it or its device.  It is a
            ValueError.
    """
    _check(model, dtype, graph, compile)
    device = next(model.parameters()).device
    # 1. Fold batch norms, in float32.
    fast = copy.deepcopy(model).float().requires_grad_(False)
    plain_layers(fast)
    fold_norms(fast)
    # 2. Faster layers, in the type and memory format of the result.
    fast = fast.to(memory_format=memory_format)
    if device.type == 'cpu' and not compile:
        fast_layers(fast, dtype)
    _convert(fast, dtype)
    # 3. Images in that type; with graphs padded to few sizes, as each size is a graph of its own.
    if graph is not True and graph:
        fast.preprocess.size_divisor = math.lcm(graph, fast.preprocess.size_divisor)
    fast.preprocess = _CastPreprocess(fast.preprocess, dtype, memory_format)
    # 4. How it runs: compiled, as CUDA graphs, or on a CPU in groups of images.
    if compile:
        fast.backbone.compile()
        fast.neck.compile()
    if graph:
        graphed(fast)
    if device.type == 'cpu':
        fast.predict = functools.partial(_predict_in_groups, fast.predict)
        keep_memory()
    return fast


def _predict_in_groups(
    predict: Callable, batch: Batch | Views, rescale: bool = True, **options: Any
) -> list[Any]:
    """``predict``, with as many images at once as there are threads.

    One image keeps a thread busy; the maps of more images leave the caches, and take more memory.
    """
    # As many images as threads, which work on one image each.
    size = torch.get_num_threads()
    groups = (batch.part(slice(i, i + size)) for i in range(0, len(batch.metas), size))
    return [result for group in groups for result in predict(group, rescale, **options)]


def _convert(model: nn.Module, dtype: torch.dtype) -> None:
    """Convert layers to ``dtype`` in place, except the ``float32_layers`` of their parents."""
    # Layers whose results are ranked or are boxes, with their inputs in float32.
    exact = {
        parent.get_submodule(name)
        for parent in model.modules()
        for name in getattr(parent, 'float32_layers', ())
    }
    for module in model.modules():
        if module in exact:
            module.register_forward_pre_hook(_in_float32)
        elif isinstance(module, _ARITHMETIC) and not isinstance(module, WinogradConv2d):
            module.to(dtype)


def _in_float32(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].float(),)


class _CastPreprocess(nn.Module):
    """A model's ``Preprocess``, whose images get the type and memory format of the network."""

    def __init__(
        self, exact: nn.Module, dtype: torch.dtype, memory_format: torch.memory_format
    ) -> None:
        super().__init__()
        self.exact = exact
        self.target = dict(dtype=dtype, memory_format=memory_format)

    def forward(self, batch: Batch) -> Tensor:
        return self.exact(batch).to(**self.target)

    def normalise(self, images: Tensor) -> Tensor:
        return self.exact.normalise(images).to(**self.target)


@torch.no_grad()
def fold_norms(model: BaseModel) -> None:
    """Fold every batch norm that follows a convolution into its weights, exactly, in place.

    The norm becomes the identity.  A norm is assumed to follow a convolution if the two are
    neighbours among the children of a module, as everywhere in hrdet; in heads, which are not
    checked with noise, only in an ``nn.Sequential``.

    Raises:
        ConfigError: the assumption is wrong, so the features of noise change.  They are computed in
            float64, which no device rounds to fewer bits.
    """
    # 1. Features of noise before folding.
    trunk = nn.Sequential(model.backbone, model.neck).double()
    noise = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(trunk.parameters()))
    before = trunk(noise)
    # 2. Fold.
    checked = set(trunk.modules())
    for parent in list(model.modules()):
        if parent not in checked and not isinstance(parent, nn.Sequential):
            continue
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and _is_frozen_bn(norm, conv.out_channels):
                parent.register_module(name, fuse_conv_bn_eval(conv, norm))
                parent.register_module(norm_name, nn.Identity())
    # 3. The same features, to rounding.
    for one, other in zip(before, trunk(noise)):
        if (one - other).abs().max() > 1e-6 * one.abs().max():
            raise ConfigError(
                'optimize: with norms folded into convolutions the features differ: in a part of '
                'this model a batch norm does not follow the convolution that is registered before '
                "it; register the model's layers in the order of use, or leave the model as it is "
                '(--no-optimize)'
            )
    trunk.float()


def _is_frozen_bn(layer: nn.Module, channels: int) -> bool:
    """Whether ``layer`` is a batch norm over ``channels`` with running statistics."""
    fixed = isinstance(layer, _BatchNorm) and layer.track_running_stats
    return fixed and layer.num_features == channels


def _check(model: BaseModel, dtype: torch.dtype, graph: bool | int, compile: bool) -> None:
    if not isinstance(model, BaseModel):
        raise ConfigError(f'optimize takes a whole model, not a {type(model).__name__}')
    if isinstance(model.preprocess, _CastPreprocess):
        raise ConfigError('this model is optimized already: start from the one it was made from')
    training = next((name for name, part in model.named_modules() if part.training), None)
    if training is not None:
        raise ConfigError(
            f'{training or "the model"} is in training mode: optimize is for inference, call '
            'model.eval() first'
        )
    # What the device can do.
    device = next(model.parameters()).device
    if dtype not in _DTYPES:
        raise ConfigError(f'dtype must be one of {", ".join(map(str, _DTYPES))}, not {dtype!r}')
    if dtype is torch.float16 and device.type == 'cpu':
        raise ConfigError('dtype=torch.float16 is for GPUs; on a CPU use torch.bfloat16')
    if graph and device.type != 'cuda':
        raise ConfigError(f'graph=True: CUDA graphs need a model on a GPU, this one is on {device}')
    if graph is not True and (graph % 32 or graph < 0):
        raise ConfigError(f'graph must be True, False or a multiple of 32, not {graph}')
    if graph and compile:
        raise ConfigError(
            'graph and compile exclude each other: use graph, which is ready in a second'
        )
