"""A trained detector made ready for fast inference: the same results, another form of the network.

Batch norms go into the convolutions before them, maps and weights are stored channels last, and on
a CPU 3x3 convolutions take Winograd's way.
"""

import copy
import functools
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval

from hrdet.models.detectors import Detector
from hrdet.ops.malloc import keep_memory
from hrdet.optimize.cpu_layers import WinogradConv2d, fast_layers
from hrdet.optimize.cuda_graphs import graphed
from hrdet.registry import ConfigError
from hrdet.structures import Batch, Detections, Views

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
# The last layers of the box heads of Faster R-CNN and FCOS.
_EXACT = {'fc_cls', 'fc_reg', 'conv_cls', 'conv_reg', 'conv_centerness'}
_ARITHMETIC = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.GroupNorm)


def optimize(
    model: Detector,
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.channels_last,
    graph: bool | int = False,
    compile: bool = False,
) -> Detector:
    """A copy of a detector that only predicts, faster; the detector itself stays as it is.

    By default detections are the same but for rounding (1e-3 of a score or a pixel).  GPUs since
    Ampere round a convolution's float32 inputs to 10 bits where torch lets them, as it does by
    default: there the detector and its copy are equally far from exact results, and as near to each
    other only with ``torch.backends.cudnn.allow_tf32 = False``.

    The copy's ``state_dict`` is no checkpoint: norms are gone, and weights changed.  On a CPU the
    process from now on keeps what memory it has used (glibc's ``mallopt``), and of a batch as many
    images go through the copy at once as torch has threads.

    Args:
        model: in eval mode, on the device where it will run.
        dtype: of weights and feature maps: float32, bfloat16 or (on a GPU) float16.  The last
            layers of box heads, and all that is done with boxes, stay float32.
        memory_format: of maps and weights; channels_last is the faster one.
        graph: replay backbone, neck and first head as CUDA graphs, one for each of the most usual
            input shapes.  A number, a multiple of 32, pads images to multiples of it, so that few
            shapes arise; objects at padded borders may then score slightly otherwise.  Such a
            detector predicts in one thread at a time.
        compile: let ``torch.compile`` make the kernels of backbone and neck, which takes minutes
            on a CPU at the first image, and again for new input shapes.

    Raises:
        ConfigError: the model is training, or something does not fit it or its device; the message
            says what.  It is a ValueError.
    """
    _check(model, dtype, graph, compile)
    device = next(model.parameters()).device
    fast = copy.deepcopy(model).float().requires_grad_(False)
    _fold_norms(fast)
    fast = fast.to(memory_format=memory_format)
    if device.type == 'cpu' and not compile:
        fast_layers(fast, dtype)
    _convert(fast, dtype)
    if graph is not True and graph:
        fast.preprocess.size_divisor = math.lcm(graph, fast.preprocess.size_divisor)
    fast.preprocess = nn.Sequential(fast.preprocess, _Cast(dtype, memory_format))
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
    predict: Callable, batch: Batch | Views, rescale: bool = True
) -> list[Detections]:
    """``predict``, with as many images at once as there are threads.

    One image keeps a thread busy: with more of them its maps lie further from the caches, and take
    more memory.
    """
    size = torch.get_num_threads()
    groups = (batch.part(slice(i, i + size)) for i in range(0, len(batch.metas), size))
    return [found for group in groups for found in predict(group, rescale)]


def _convert(model: nn.Module, dtype: torch.dtype) -> None:
    """Layers to another type, in place, but for those whose results are ranked or are boxes."""
    for name, module in model.named_modules():
        if name.rpartition('.')[-1] in _EXACT:
            module.register_forward_pre_hook(_in_float32)
        elif isinstance(module, _ARITHMETIC) and not isinstance(module, WinogradConv2d):
            module.to(dtype)


def _in_float32(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].float(),)


class _Cast(nn.Module):
    """Images as the network wants them."""

    def __init__(self, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
        super().__init__()
        self.form = dict(dtype=dtype, memory_format=memory_format)

    def forward(self, images: Tensor) -> Tensor:
        return images.to(**self.form)


@torch.no_grad()
def _fold_norms(model: Detector) -> None:
    """Put every batch norm that follows a convolution into its weights, exactly, in place.

    The norm becomes the identity.  A norm is taken to follow a convolution where the two are
    neighbours among the children of a module, as everywhere in hrdet; in the heads, which are not
    tried with noise, of an ``nn.Sequential``.

    Raises:
        ConfigError: it is not so; then the features of noise change.  They are computed in float64,
            which no device rounds to fewer bits.
    """
    trunk = nn.Sequential(model.backbone, model.neck).double()
    noise = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(trunk.parameters()))
    before = trunk(noise)
    tried = set(trunk.modules())
    for parent in list(model.modules()):
        if parent not in tried and not isinstance(parent, nn.Sequential):
            continue
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and _normalises(norm, conv.out_channels):
                parent.register_module(name, fuse_conv_bn_eval(conv, norm))
                parent.register_module(norm_name, nn.Identity())
    for one, other in zip(before, trunk(noise)):
        if (one - other).abs().max() > 1e-6 * one.abs().max():
            raise ConfigError(
                'optimize: with norms folded into convolutions the features differ: in a part of '
                'this model a batch norm does not follow the convolution that is registered before '
                "it; register the model's layers in the order of use, or leave the model as it is "
                '(--no-optimize)'
            )
    trunk.float()


def _normalises(layer: nn.Module, channels: int) -> bool:
    """Whether it is a batch norm of so many channels, with fixed statistics."""
    fixed = isinstance(layer, _BatchNorm) and layer.track_running_stats
    return fixed and layer.num_features == channels


def _check(model: Detector, dtype: torch.dtype, graph: bool | int, compile: bool) -> None:
    if not isinstance(model, Detector):
        raise ConfigError(f'optimize takes a detector, not a {type(model).__name__}')
    if isinstance(model.preprocess, nn.Sequential):
        raise ConfigError('this detector is optimized already: start from the one it was made of')
    training = next((name for name, part in model.named_modules() if part.training), None)
    if training is not None:
        raise ConfigError(
            f'{training or "the model"} is in training mode: optimize is for inference, call '
            'model.eval() first'
        )
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
            'graph and compile exclude each other: take the graph, which is ready in a second'
        )
