"""The cost of a model: parameters, and multiply-accumulates by part.

Only convolutions and matrix products count, without biases, as in the tables of HRNet's README;
``feature_flops`` counts element-wise layers, too, as the tables of mmpretrain do.  On the device
``'meta'`` nothing is computed, and a model is counted in a second.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from hrdet.models.backbones.hrnet import HRModule
from hrdet.models.base import BaseModel
from hrdet.models.heads import FCNHead
from hrdet.models.necks import HRFPN
from hrdet.models.roi.base import RoIHead

_NORMS = (_BatchNorm, nn.GroupNorm)


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters of a model, and multiply-accumulates of its parts for one image."""

    parameters: int
    macs: dict[str, int]
    size: tuple[int, int]  # (h, w) of the input
    feature_flops: int | None = None  # of backbone and neck; None: of a neck counted as defined

    @property
    def total_macs(self) -> int:
        return sum(self.macs.values())


def model_cost(
    model: BaseModel,
    size: tuple[int, int] | None = None,
    rois: int = 500,
    masks: int = 100,
    whole_levels: bool = False,
) -> Cost:
    """Count one image through all parts, as in inference.

    The neck counts as HRNetV2p is defined: branches upsampled and concatenated, then reduced.
    hrdet reduces first, which computes the same maps with less (``HRFPN``).  So does the head of a
    segmentor (``FCNHead``).

    Args:
        model: on any device; ``'meta'`` is fastest.
        size: (h, w) of the network input in pixels; by default the model's ``usual_size``.
        rois: regions through the box heads, each through all stages.
        masks: regions through the mask heads, each through all stages.
        whole_levels: a level of stride s has ceil(h / s) rows.  The neck drops an odd last row when
            it pools, so that 800 rows leave 12 at stride 64; the 2019 release's table comes out
            with 13 (159.1 for W18; with 12 it is 159.089, which it would print as 159.0).
    """
    # 1. Backbone and neck, with the shapes that they pass on.
    size = size or model.usual_size
    image = next(model.parameters()).new_zeros(1, 3, *size)
    backbone, features = _count(model.backbone, image)
    elementwise = None
    if isinstance(model.neck, HRFPN):
        neck, levels = _pyramid(model.neck, features, whole_levels)
    else:
        neck, levels = _count(model.neck, features)
        elementwise = _count_elements(nn.Sequential(model.backbone, model.neck), image)
    # 2. Heads on all levels, then the second stage on ``rois`` and ``masks`` regions.
    heads = {name: _count(head, _given(head, levels))[0] for name, head in model.heads().items()}
    if hasattr(model, 'roi_head'):
        heads |= _second_stage(model.roi_head, levels, rois, masks)
    parameters = sum(p.numel() for p in model.parameters())
    flops = None if elementwise is None else backbone + neck + elementwise
    return Cost(parameters, dict(backbone=backbone, neck=neck) | heads, size, flops)


detector_cost = model_cost  # its earlier name


def _pyramid(
    neck: HRFPN, features: Sequence[Tensor], whole_levels: bool
) -> tuple[int, list[Tensor]]:
    """Multiply-accumulates of the neck in the order of its definition, and its levels."""
    # The branches, upsampled and concatenated, through the 1x1 convolution.
    height, width = features[0].shape[-2:]
    merged = features[0].new_zeros(1, sum(neck.in_channels), height, width)
    total, levels = _count(neck.reduction_conv, merged)[0], []
    for i in range(neck.num_outs):
        pooled = merged.new_zeros(1, neck.out_channels, height, width)
        macs, level = _count(neck.fpn_convs[i % len(neck.fpn_convs)], pooled)
        total += macs
        levels.append(level)
        height, width = ((n + whole_levels) // 2 or 1 for n in (height, width))
    return total, levels


def _given(head: nn.Module, levels: Any) -> Any:
    """What a head takes: ``FCNHead`` the branches already concatenated at the finest resolution."""
    if not isinstance(head, FCNHead):
        return levels
    # One map (1, sum of all C_i, h, w): convolutions are counted on the concatenation.
    channels = sum(level.shape[1] for level in levels)
    return [levels[0].new_zeros(1, channels, *levels[0].shape[2:])]


def _second_stage(head: RoIHead, levels: list[Tensor], rois: int, masks: int) -> dict[str, int]:
    """Heads are run as in prediction; RoIAlign and arithmetic on boxes count nothing."""
    # Values do not matter: only shapes are counted.
    regions = levels[0].new_zeros(max(rois, masks), 5)
    semantic, features = _count(head.prepare, levels)
    parts = dict(
        semantic_head=semantic,
        bbox_head=_count(head.predict_boxes, features, regions[:rois], regions[:rois, :2])[0],
    )
    if head.mask_head is not None:
        labels = regions[:masks, 0].long()
        parts['mask_head'] = _count(head.predict_masks, features, regions[:masks], labels)[0]
    return {name: macs for name, macs in parts.items() if macs}


class _NormsPass(TorchFunctionMode):
    """Norms hand their input on: they keep its shape, and torch is slow to find that on meta."""

    def __torch_function__(self, function, types, args=(), kwargs=None) -> Any:
        if function is F.batch_norm:
            return args[0]
        return function(*args, **(kwargs or {}))


class _Elements(TorchDispatchMode):
    """Counts operations on single elements: one for each that ReLU and resizing return, and that
    global pooling takes; two for each that a norm returns.

    HRNet's branches count as they are defined: each coarser one is resized to each finer one.
    """

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.count = 0
        self._of_resizing = 1
        for module in part.modules():
            if isinstance(module, _NORMS):
                module.register_forward_hook(self._count_norm)
            elif isinstance(module, HRModule):
                module.register_forward_pre_hook(self._start_module)
                module.register_forward_hook(self._end_module)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None) -> Any:
        # FlopCounterMode counts convolutions and products; here only what it leaves out.
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        if name in ('relu', 'relu_'):
            self.count += result.numel()
        elif name.startswith('upsample_'):
            self.count += self._of_resizing * result.numel()
        elif name == 'mean':
            self.count += args[0].numel()
        return result

    def _count_norm(self, module: nn.Module, inputs: tuple, result: Tensor) -> None:
        self.count += 2 * result.numel()

    def _start_module(self, *_: Any) -> None:
        # Inside HRModule hrdet upsamples in another order than defined: see ``_end_module``.
        self._of_resizing = 0

    def _end_module(self, module: nn.Module, inputs: tuple, branches: list[Tensor]) -> None:
        self._of_resizing = 1
        # Of n branches the one at i receives the n - 1 - i coarser ones.
        self.count += sum(i * branch.numel() for i, branch in enumerate(reversed(branches)))


@torch.no_grad()
def _count_elements(part: nn.Module, image: Tensor) -> int:
    """The operations on single elements; see ``_Elements``."""
    # A copy in training mode: norms are not folded into their convolutions, and so are counted.
    part = copy.deepcopy(part).to('meta')
    for module in part.modules():
        module.training = True
    with _NormsPass(), _Elements(part) as counter:
        part(image.to('meta'))
    return counter.count


@torch.no_grad()
def _count(part: Callable, *inputs: Any) -> tuple[int, Any]:
    with _NormsPass(), FlopCounterMode(display=False) as counter:
        outputs = part(*inputs)
    return counter.get_total_flops() // 2, outputs
