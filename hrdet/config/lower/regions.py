"""What works on regions: extractors, box heads, mask heads and the semantic head."""

from typing import Any

from hrdet.config.lower.parts import loss, own_head, without_background
from hrdet.config.node import Node, check_choice, check_count, check_typed, read


def roi_extractor(section: Node, path: str, convention: str) -> Node:
    """The section ``bbox_roi_extractor``, or another of its kind."""
    if check_typed(section, path)['type'] != 'SingleRoIExtractor':
        return section
    return read(_single_roi_extractor, section, path, convention=convention)


def _single_roi_extractor(
    path: str,
    *,
    type: str,
    roi_layer: Node,
    out_channels: int,
    featmap_strides: list[int],
    finest_scale: float = 56,
    convention: str,
) -> Node:
    return Node(
        path,
        type=type,
        **read(_roi_align, roi_layer, f'{path}.roi_layer'),
        out_channels=out_channels,
        featmap_strides=featmap_strides,
        finest_scale=finest_scale,
        convention=convention,
    )


def _roi_align(path: str, *, type: str, out_size: int, sample_num: int = 0) -> dict[str, Any]:
    check_choice(type, ('RoIAlign',), f'{path}.type')
    return dict(out_size=out_size, sample_num=sample_num)


def box_head(section: Node, path: str) -> Node:
    """The section ``bbox_head``, or one of its list."""
    if check_typed(section, path)['type'] == 'SharedFCBBoxHead':
        return read(_shared_fc_head, section, path)
    return own_head(section, path)


def _shared_fc_head(
    path: str,
    *,
    type: str,
    num_classes: int | None = None,
    target_means: list[float] = (0.0, 0.0, 0.0, 0.0),
    target_stds: list[float] = (0.1, 0.1, 0.2, 0.2),
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    num_fcs: int = 2,
    in_channels: int = 256,
    fc_out_channels: int = 1024,
    roi_feat_size: int = 7,
    reg_class_agnostic: bool = False,
) -> Node:
    return Node(
        path,
        type=type,
        num_fcs=num_fcs,
        in_channels=in_channels,
        fc_out_channels=fc_out_channels,
        roi_feat_size=roi_feat_size,
        num_classes=without_background(num_classes, path),
        coder=Node(path, type='DeltaCoder', means=target_means, stds=target_stds),
        reg_class_agnostic=reg_class_agnostic,
        loss_cls=loss(loss_cls, f'{path}.loss_cls', type='CrossEntropyLoss'),
        loss_bbox=loss(loss_bbox, f'{path}.loss_bbox', type='SmoothL1Loss', beta=1.0),
    )


def mask_head(section: Node, path: str) -> Node:
    """The section ``mask_head``, or one of its list."""
    if check_typed(section, path)['type'] in ('FCNMaskHead', 'HTCMaskHead'):
        return read(_fcn_mask_head, section, path)
    return own_head(section, path)


def _fcn_mask_head(
    path: str,
    *,
    type: str,
    num_classes: int | None = None,
    num_convs: int = 4,
    roi_feat_size: int = 14,  # known from the extractor
    in_channels: int = 256,
    conv_kernel_size: int = 3,
    conv_out_channels: int = 256,
    upsample_method: str = 'deconv',
    upsample_ratio: int = 2,
    class_agnostic: bool = False,
    norm_cfg: Node | None = None,
    loss_mask: Node | None = None,
    with_conv_res: bool | None = None,  # of HTCMaskHead
) -> Node:
    check_choice(upsample_method, ('deconv',), f'{path}.upsample_method')
    entropy = loss(loss_mask, f'{path}.loss_mask', type='CrossEntropyLoss', use_sigmoid=True)
    # Each pixel of a mask is an object or not: what the releases call ``use_mask``.
    names = {'use_mask': 'use_sigmoid'}
    return Node(
        path,
        type=type,
        num_classes=without_background(num_classes, path),
        num_convs=num_convs,
        in_channels=in_channels,
        conv_kernel_size=conv_kernel_size,
        conv_out_channels=conv_out_channels,
        upsample_ratio=upsample_ratio,
        class_agnostic=class_agnostic,
        norm_cfg=norm_cfg,
        loss_mask=Node(entropy.path, **{names.get(k, k): v for k, v in entropy.items()}),
        **({} if with_conv_res is None else dict(with_conv_res=with_conv_res)),
    )


def semantic_head(
    path: str,
    *,
    type: str,
    num_classes: int,
    num_ins: int = 5,
    fusion_level: int = 1,
    num_convs: int = 4,
    in_channels: int = 256,
    conv_out_channels: int = 256,
    ignore_label: int = 255,
    loss_weight: float = 0.2,
    norm_cfg: Node | None = None,
) -> Node:
    """The section ``semantic_head``; its ``num_classes`` are the labels of the semantic maps."""
    check_choice(type, ('FusedSemanticHead',), f'{path}.type')
    check_count(num_classes, f'{path}.num_classes', least=2)
    return Node(
        path,
        type=type,
        semantic_classes=num_classes,
        num_ins=num_ins,
        fusion_level=fusion_level,
        num_convs=num_convs,
        in_channels=in_channels,
        conv_out_channels=conv_out_channels,
        ignore_label=ignore_label,
        loss_weight=loss_weight,
        norm_cfg=norm_cfg,
    )
