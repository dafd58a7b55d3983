"""Recognise where a checkpoint comes from, and convert its names and class order to hrdet's.

A family is recognised by its keys and converted by a table of rules: a pattern for the key, its
new name, and, where the class order differs, what happens to the rows.  hrdet's own layout is
mmdetection 3's (background last), mmpretrain's and mmsegmentation's.  Key lists:
HRNet-Object-Detection (2019), mmdetection 1.2 and 3.x, HRNet-Image-Classification (timm has the
same), HRNet-Semantic-Segmentation.
"""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Family(str, enum.Enum):
    """Where a checkpoint comes from."""

    CLASSIFIER = 'HRNet-Image-Classification'
    RESNET = 'torchvision ResNet'
    HRNET_DETECTION = 'HRNet-Object-Detection (2019)'
    MMDET1 = 'mmdetection 1.x'
    MMDET3 = 'mmdetection 2.x/3.x'
    MMPRETRAIN = 'mmpretrain'
    HRNET_SEGMENTATION = 'HRNet-Semantic-Segmentation'
    MMSEG = 'mmsegmentation'
    HRDET = 'hrdet'
    UNKNOWN = 'unknown'

    @property
    def box_convention(self) -> str | None:
        """The box convention of all models of this family, or None if it has several."""
        return _CONVENTIONS.get(self)


_CONVENTIONS = {
    Family.HRNET_DETECTION: 'inclusive',
    Family.MMDET1: 'inclusive',
    Family.MMDET3: 'continuous',
}


class Rule(NamedTuple):
    """One line of a conversion: the first rule whose pattern matches the whole key wins."""

    pattern: str
    name: str | None  # replacement template; None: the entry has no counterpart and is dropped
    rows: Callable[[Tensor], Tensor] | None = None


@dataclass(slots=True)
class Conversion:
    """A state_dict in hrdet's layout, and what was done to get it."""

    weights: dict[str, Tensor]
    renamed: int = 0
    folded: list[str] = field(default_factory=list)  # biases that went into a running mean
    reordered: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def background_last(rows: Tensor) -> Tensor:
    """Class scores: rows (background, class 1..K) become (class 1..K, background)."""
    return torch.cat((rows[1:], rows[:1]))


def without_background_box(rows: Tensor) -> Tensor:
    """Box deltas of K+1 classes lose the unused four of the background; one box for all stays."""
    return rows if len(rows) == 4 else rows[4:]


def without_background_mask(channels: Tensor) -> Tensor:
    """Masks of K+1 classes lose the unused one of the background; one mask for all stays."""
    return channels if len(channels) == 1 else channels[1:]


_ALL_OF_MMDETECTION = (
    # Up to 2.0; FCOS scores its K classes by sigmoid, so that no row moves.
    Rule(r'bbox_head\.fcos_(cls|reg|centerness)\.(.+)', r'bbox_head.conv_\1.\2'),
    # mmcv's EMA: the weights in training, beside their average under the proper names.
    Rule(r'ema_[^.]+', None),
)
_RELEASES_OF_2019 = (
    Rule(r'neck\.reduction_conv\.0\.(.+)', r'neck.reduction_conv.conv.\1'),
    Rule(r'neck\.fpn_conv\.(\d+)\.(weight|bias)', r'neck.fpn_convs.\1.conv.\2'),
    Rule(r'(bbox_head\.(?:\d+\.)?fc_cls\..+)', r'roi_head.\1', background_last),
    Rule(r'(bbox_head\.(?:\d+\.)?fc_reg\..+)', r'roi_head.\1', without_background_box),
    Rule(r'(bbox_head\.(?:\d+\.)?shared_fcs\..+)', r'roi_head.\1'),
    # HTC's first mask head has no predecessor whose features it adds; up to 1.0.0 it had the layer.
    Rule(r'mask_head\.0\.conv_res\..+', None),
    Rule(r'(mask_head\.(?:\d+\.)?conv_logits\..+)', r'roi_head.\1', without_background_mask),
    Rule(r'((?:mask|semantic)_head\..+)', r'roi_head.\1'),
    *_ALL_OF_MMDETECTION,
)
_CLASSIFIER = (
    Rule(r'incre_modules\.(.+)', r'neck.0.increase_layers.\1'),
    Rule(r'downsamp_modules\.(\d+)\.0\.(.+)', r'neck.0.downsample_layers.\1.conv.\2'),
    Rule(r'downsamp_modules\.(\d+)\.1\.(.+)', r'neck.0.downsample_layers.\1.bn.\2'),
    Rule(r'final_layer\.0\.(.+)', r'neck.0.final_layer.conv.\1'),
    Rule(r'final_layer\.1\.(.+)', r'neck.0.final_layer.bn.\1'),
    Rule(r'classifier\.(.+)', r'head.fc.\1'),
    Rule(r'(.+)', r'backbone.\1'),
)
_RESNET = (Rule(r'fc\..+', None), Rule(r'(.+)', r'backbone.\1'))
_HRNET_SEGMENTATION = (
    Rule(r'(loss\..+|aux_head\..+)', None),
    Rule(r'(?:model\.)?last_layer\.0\.(.+)', r'decode_head.convs.0.conv.\1'),
    Rule(r'(?:model\.)?last_layer\.1\.(.+)', r'decode_head.convs.0.bn.\1'),
    Rule(r'(?:model\.)?last_layer\.3\.(.+)', r'decode_head.conv_seg.\1'),
    Rule(r'(?:model\.)?(.+)', r'backbone.\1'),
)
_RULES = {
    Family.CLASSIFIER: _CLASSIFIER,
    Family.RESNET: _RESNET,
    Family.HRNET_SEGMENTATION: _HRNET_SEGMENTATION,
    Family.HRNET_DETECTION: _RELEASES_OF_2019,
    Family.MMDET1: _RELEASES_OF_2019,
    Family.MMDET3: _ALL_OF_MMDETECTION,
}

# From hrdet's names to those of HRNet-Image-Classification (timm has the same) and
# HRNet-Semantic-Segmentation.
_OFFICIAL = (
    Rule(r'backbone\.(.+)', r'\1'),
    Rule(r'neck\.0\.increase_layers\.(.+)', r'incre_modules.\1'),
    Rule(r'neck\.0\.downsample_layers\.(\d+)\.conv\.(.+)', r'downsamp_modules.\1.0.\2'),
    Rule(r'neck\.0\.downsample_layers\.(\d+)\.bn\.(.+)', r'downsamp_modules.\1.1.\2'),
    Rule(r'neck\.0\.final_layer\.conv\.(.+)', r'final_layer.0.\1'),
    Rule(r'neck\.0\.final_layer\.bn\.(.+)', r'final_layer.1.\1'),
    Rule(r'head\.fc\.(.+)', r'classifier.\1'),
    Rule(r'decode_head\.convs\.0\.conv\.(.+)', r'last_layer.0.\1'),
    Rule(r'decode_head\.convs\.0\.bn\.(.+)', r'last_layer.1.\1'),
    Rule(r'decode_head\.conv_seg\.(.+)', r'last_layer.3.\1'),
)
_WITH_BIAS = r'(downsamp_modules\.\d+\.0|final_layer\.0|last_layer\.0)\.weight'

# A pattern that only keys of this family match; tried in this order.
_SIGNATURES = (
    (Family.HRNET_DETECTION, r'neck\.(fpn_conv\.\d+|reduction_conv\.0)\..+'),
    (Family.MMDET1, r'bbox_head\.((\d+\.)?fc|fcos)_cls\.weight'),
    (Family.MMDET3, r'roi_head\..+|bbox_head\.conv_cls\.weight'),
    (Family.MMPRETRAIN, r'neck\.0\.increase_layers\..+|head\.fc\.weight'),
    (Family.MMSEG, r'decode_head\.conv_seg\.weight'),
    (Family.HRNET_SEGMENTATION, r'(model\.)?last_layer\.3\.weight'),
    (Family.CLASSIFIER, r'stage[234]\.\d+\.branches\..+'),
    (Family.RESNET, r'layer4\.\d+\.conv1\.weight'),
)


def recognise(weights: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Family:
    """The family of a state_dict: by the version that ``meta`` names, else by its keys."""
    if 'hrdet_version' in meta:
        return Family.HRDET
    if str(meta.get('mmdet_version', ''))[:2] in ('2.', '3.'):  # 2.0 still has 1.x's FCOS names
        return Family.MMDET3
    for family, signature in _SIGNATURES:
        if any(re.fullmatch(signature, key) for key in weights):
            return family
    return Family.UNKNOWN


def stated_convention(family: Family, meta: Mapping[str, Any]) -> str | None:
    """The box convention that ``meta`` names or the layout implies, else None.

    mmdetection 3 and hrdet share a layout, so that it alone implies nothing.
    """
    shared = family is Family.MMDET3 and 'mmdet_version' not in meta
    return meta.get('box_convention') or (None if shared else family.box_convention)


def convert(weights: Mapping[str, Tensor], family: Family) -> Conversion:
    """The same weights under hrdet's names and in hrdet's class order."""
    result = Conversion({})
    for key, value in weights.items():
        rule = next((r for r in _RULES.get(family, ()) if re.fullmatch(r.pattern, key)), None)
        if rule is None:
            result.weights[key] = value
        elif rule.name is None:
            result.dropped.append(key)
        else:
            name = re.sub(rule.pattern, rule.name, key)
            result.renamed += name != key
            # Rows by class are put into hrdet's order.
            changed = rule.rows(value) if rule.rows and value.ndim else value
            if changed is not value:
                result.reordered.append(name)
            result.weights[name] = changed
    # These releases have biases before norms, and were saved by torch versions without counters.
    if family in (Family.CLASSIFIER, Family.HRNET_SEGMENTATION):
        _fold_biases(result)
        _add_batch_counts(result)
    return result


def to_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a classifier or segmentor under the names of HRNet's own releases.

    Convolutions that have a bias there get one of zeros.

    Raises:
        KeyError: an entry that these releases have no place for.
    """
    result = {}
    for key, value in weights.items():
        rule = next((r for r in _OFFICIAL if re.fullmatch(r.pattern, key)), None)
        if rule is None:
            raise KeyError(key)
        name = re.sub(rule.pattern, rule.name, key)
        result[name] = value
        if re.fullmatch(_WITH_BIAS, name):
            result[name.removesuffix('weight') + 'bias'] = value.new_zeros(len(value))
    return result


def _fold_biases(result: Conversion) -> None:
    """Fold the bias of a convolution into the batch norm behind it; hrdet's convolutions have none.

    ``norm(x + bias)`` with the mean ``m`` equals ``norm(x)`` with the mean ``m - bias``.
    """
    for name in list(result.weights):
        mean = name.removesuffix('.conv.bias') + '.bn.running_mean'
        if name.endswith('.conv.bias') and mean in result.weights:
            result.weights[mean] = result.weights[mean] - result.weights.pop(name)
            result.folded.append(name)


def _add_batch_counts(result: Conversion) -> None:
    """``num_batches_tracked`` of norms that torch 0.4.0 and older saved without."""
    for name in [n for n in result.weights if n.endswith('.running_mean')]:
        count = name.removesuffix('running_mean') + 'num_batches_tracked'
        # The value has no effect with a momentum, which all configs have.
        result.weights.setdefault(count, torch.tensor(0))
