"""Translate RPN, RoI and FCOS heads of mmdetection 2 and 3 to the 2019 language."""

from collections.abc import Sequence
from typing import Any, Literal

from hrdet.config.node import Node, check, check_typed, read, without_none
from hrdet.ranges import Count, Counts, Positive, Positives
from hrdet.registry import is_custom, nearest

CONFIG = 'configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py'
_MASK_HEADS, _BOX_HEADS = ('FCNMaskHead', 'HTCMaskHead'), ('Shared2FCBBoxHead',)


def check_known(kind: str, known: Sequence[str], path: str, what: str) -> None:
    other = f'hrdet has no {what} {kind!r}{nearest(kind, known)}; supported: {", ".join(known)}'
    check(kind in known or is_custom(kind), path, f'{other}, as in {CONFIG}')


def check_repeated(path: str, wanted: dict[str, Any], **sections: Any) -> None:
    """Heads may repeat a section of ``train_cfg`` or ``test_cfg``, if it is equal to that one."""
    same = 'differs from the section of this name of the model: keep that one'
    for name, section in sections.items():
        check(section is None or section == wanted[name], f'{path}.{name}', same)


def rpn_head(section: Node, path: str) -> Node:
    check_known(check_typed(section, path)['type'], ('RPNHead',), f'{path}.type', 'RPN head')
    return section if is_custom(section['type']) else read(_rpn, section, path)


def _rpn(
    path: str,
    *,
    type: str,
    in_channels: Count,
    feat_channels: Count = 256,
    anchor_generator: Node,
    bbox_coder: Node,
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    num_convs: Literal[1] = 1,
    train_cfg: Any = None,
    test_cfg: Any = None,
    init_cfg: None = None,
) -> Node:
    # mmdetection 2 and 3 default to L1, the 2019 language to SmoothL1 with beta 1/9.
    return Node(
        path,
        type=type,
        in_channels=in_channels,
        feat_channels=feat_channels,
        loss_cls=loss_cls,
        loss_bbox=Node(f'{path}.loss_bbox', type='L1Loss') if loss_bbox is None else loss_bbox,
        **read(_anchors, anchor_generator, f'{path}.anchor_generator'),
        **read(_coder, bbox_coder, f'{path}.bbox_coder'),
    )


def _anchors(
    path: str,
    *,
    type: Literal['AnchorGenerator'],
    scales: Positives,
    ratios: Positives,
    strides: Counts,
    base_sizes: Positives | None = None,
    center_offset: Literal[0, 0.0] = 0.0,
    scale_major: Literal[True] = True,
) -> dict[str, Any]:
    found = dict(anchor_scales=scales, anchor_ratios=ratios, anchor_strides=strides)
    return found if base_sizes is None else found | dict(anchor_base_sizes=base_sizes)


def _coder(
    path: str,
    *,
    type: Literal['DeltaXYWHBBoxCoder'],
    target_means: list[float] = (0.0, 0.0, 0.0, 0.0),
    target_stds: list[Positive] = (1.0, 1.0, 1.0, 1.0),
    clip_border: Literal[True] = True,
    add_ctr_clamp: Literal[False] = False,
) -> dict[str, Any]:
    return dict(target_means=target_means, target_stds=target_stds)


def roi_head(
    path: str,
    *,
    type: str,
    bbox_roi_extractor: Node,
    bbox_head: Node | list[Node],
    mask_roi_extractor: Node | None = None,
    mask_head: Node | list[Node] | None = None,
    semantic_roi_extractor: Node | None = None,
    semantic_head: Node | None = None,
    stage_loss_weights: list[float] | None = None,
    shared_head: None = None,
    train_cfg: Any = None,
    test_cfg: Any = None,
    init_cfg: None = None,
    repeated: dict[str, Any],
    **stages: Any,
) -> tuple[dict[str, Any], list[float] | None]:
    """The keys of ``model`` in 2019, and ``stage_loss_weights`` of its ``train_cfg``."""
    check_repeated(path, repeated, train_cfg=train_cfg, test_cfg=test_cfg)
    known = _STAGE_KEYS[type]
    for key in stages:
        names = f'{nearest(key, known)} (accepted: {", ".join(known) or "none"})'
        check(key in known, f'{path}.{key}', f'there is no such key here{names}')
    # Heads and extractors, under the names of 2019.
    found = dict(stages)
    found['bbox_head'] = _heads(bbox_head, f'{path}.bbox_head', _box_head)
    if mask_head is not None:
        found['mask_head'] = _heads(mask_head, f'{path}.mask_head', _mask_head)
    if semantic_head is not None:
        found['semantic_head'] = read(_semantic_head, semantic_head, f'{path}.semantic_head')
    for name, extractor in (
        ('bbox_roi_extractor', bbox_roi_extractor),
        ('mask_roi_extractor', mask_roi_extractor),
        ('semantic_roi_extractor', semantic_roi_extractor),
    ):
        if extractor is not None:
            found[name] = _extractor(extractor, f'{path}.{name}')
    return found, stage_loss_weights


_STAGE_KEYS = {
    'StandardRoIHead': (),
    'CascadeRoIHead': ('num_stages',),
    'HybridTaskCascadeRoIHead': ('num_stages', 'interleaved', 'mask_info_flow', 'semantic_fusion'),
}


def _heads(section: Any, path: str, reader: Any) -> Any:
    """Translate one head, or a list with a head for each stage."""
    if isinstance(section, (list, tuple)):
        return [reader(head, f'{path}[{i}]') for i, head in enumerate(section)]
    return reader(section, path)


def _extractor(section: Node, path: str) -> Node:
    kind = check_typed(section, path)['type']
    check_known(kind, ('SingleRoIExtractor',), f'{path}.type', 'RoI extractor')
    if is_custom(kind):
        return section
    layer = read(_roi_align, section.get('roi_layer'), f'{path}.roi_layer')
    return without_none(section, 'init_cfg').replaced(roi_layer=layer)


def _roi_align(
    path: str,
    *,
    type: Literal['RoIAlign'],
    output_size: int,
    sampling_ratio: int = 0,
    aligned: Literal[True] = True,
    pool_mode: Literal['avg'] = 'avg',
) -> Node:
    return Node(path, type=type, out_size=output_size, sample_num=sampling_ratio)


def _own(section: Node) -> Node:
    return section.replaced(num_classes=_with_background(section.get('num_classes')))


def _with_background(num_classes: int | None) -> int | None:
    """``num_classes`` as the 2019 language counts: with the background."""
    return num_classes and num_classes + 1


def _box_head(section: Node, path: str) -> Node:
    kind = check_typed(section, path)['type']
    check_known(kind, _BOX_HEADS, f'{path}.type', 'box head')
    return _own(section) if is_custom(kind) else read(_shared_fc, section, path)


def _shared_fc(
    path: str,
    *,
    type: str,
    in_channels: Count = 256,
    fc_out_channels: Count = 1024,
    roi_feat_size: Count = 7,
    num_classes: Count | None = None,
    bbox_coder: Node,
    reg_class_agnostic: bool = False,
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    reg_decoded_bbox: Literal[False] = False,
    with_avg_pool: Literal[False] = False,
    init_cfg: None = None,
) -> Node:
    return Node(
        path,
        type='SharedFCBBoxHead',
        num_fcs=2,
        in_channels=in_channels,
        fc_out_channels=fc_out_channels,
        roi_feat_size=roi_feat_size,
        num_classes=_with_background(num_classes),
        reg_class_agnostic=reg_class_agnostic,
        loss_cls=loss_cls,
        loss_bbox=loss_bbox,
        **read(_coder, bbox_coder, f'{path}.bbox_coder'),
    )


def _mask_head(section: Node, path: str) -> Node:
    kind = check_typed(section, path)['type']
    check_known(kind, _MASK_HEADS, f'{path}.type', 'mask head')
    return _own(section) if is_custom(kind) else read(_fcn_mask, section, path)


def _fcn_mask(
    path: str,
    *,
    type: str,
    num_classes: Count | None = None,
    with_conv_res: bool | None = None,
    upsample_cfg: Node | None = None,
    init_cfg: None = None,
    **rest: Any,
) -> Node:
    """``with_conv_res`` of HTC is dropped: it follows from the number of the stage."""
    if upsample_cfg is not None:
        read(_upsampling, upsample_cfg, f'{path}.upsample_cfg')
    return Node(path, rest, type=type, num_classes=_with_background(num_classes))


def _upsampling(path: str, *, type: Literal['deconv'], scale_factor: Literal[2] = 2) -> None:
    """Accepted without effect: a deconvolution doubles the size of the features."""


def _semantic_head(
    path: str,
    *,
    type: str,
    num_classes: Count,
    seg_scale_factor: float = 1 / 8,
    loss_seg: Node | None = None,
    ignore_label: int | None = None,
    loss_weight: Positive | None = None,
    conv_cfg: None = None,
    init_cfg: None = None,
    **rest: Any,
) -> Node:
    """``loss_seg`` replaces ``ignore_label`` and ``loss_weight`` of early mmdetection 2."""
    eighth = 'maps have an eighth of the size of the image, which the pipeline gives them'
    check(seg_scale_factor == 1 / 8, f'{path}.seg_scale_factor', eighth)
    found = dict(ignore_label=ignore_label, loss_weight=loss_weight)
    if loss_seg is not None:
        twice = f'{path}.loss_seg says it: keep one'
        check(not any(value is not None for value in found.values()), path, twice)
        found = read(_loss_seg, loss_seg, f'{path}.loss_seg')
    found = {key: value for key, value in found.items() if value is not None}
    return Node(path, rest, type=type, num_classes=num_classes, **found)


def _loss_seg(
    path: str,
    *,
    type: Literal['CrossEntropyLoss'],
    ignore_index: int | None = None,
    loss_weight: Positive = 1.0,
    use_sigmoid: Literal[False] = False,
) -> dict[str, Any]:
    return dict(ignore_label=ignore_index, loss_weight=loss_weight)


def fcos_head(section: Node, path: str, repeated: dict[str, Any]) -> Node:
    kind = check_typed(section, path)['type']
    check_known(kind, ('FCOSHead',), f'{path}.type', 'head')
    return _own(section) if is_custom(kind) else read(_fcos, section, path, repeated=repeated)


def _fcos(
    path: str,
    *,
    type: str,
    num_classes: Count | None = None,
    norm_on_bbox: Literal[False] = False,
    centerness_on_reg: Literal[False] = False,
    dcn_on_last_conv: Literal[False] = False,
    conv_bias: Literal['auto', True] = 'auto',
    conv_cfg: None = None,
    train_cfg: Any = None,
    test_cfg: Any = None,
    init_cfg: None = None,
    repeated: dict[str, Any],
    **rest: Any,
) -> Node:
    check_repeated(path, repeated, train_cfg=train_cfg, test_cfg=test_cfg)
    return Node(path, rest, type=type, num_classes=_with_background(num_classes))
