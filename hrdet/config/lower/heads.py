"""The sections of a second stage's parts: extractors, box, mask and semantic heads."""

from typing import Any, Literal

from hrdet.config.lower.parts import Classes, loss, own_head, without_background
from hrdet.config.node import Node, check_typed, read


def roi_extractor(section: Node, path: str) -> Node:
    """The section ``bbox_roi_extractor``, or another of its kind."""
    if check_typed(section, path)['type'] != 'SingleRoIExtractor':
        return section
    return read(_single_roi_extractor, section, path)


def _single_roi_extractor(path: str, *, roi_layer: Node, **rest: Any) -> Node:
    return Node(path, rest, **read(_roi_align, roi_layer, f'{path}.roi_layer'))


def _roi_align(
    path: str, *, type: Literal['RoIAlign'], out_size: int, sample_num: int = 0
) -> dict[str, Any]:
    return dict(out_size=out_size, sample_num=sample_num)


def box_head(section: Node, path: str) -> Node:
    """The section ``bbox_head``, or one of its list."""
    if check_typed(section, path)['type'] == 'SharedFCBBoxHead':
        return read(_shared_fc_head, section, path)
    return own_head(section, path)


def _shared_fc_head(
    path: str,
    *,
    num_classes: int | None = None,
    target_means: list[float] = (0.0, 0.0, 0.0, 0.0),
    target_stds: list[float] = (0.1, 0.1, 0.2, 0.2),
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    **rest: Any,
) -> Node:
    return Node(
        path,
        rest,
        num_classes=without_background(num_classes, path),
        coder=Node(path, type='DeltaCoder', means=target_means, stds=target_stds),
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
    num_classes: int | None = None,
    roi_feat_size: int = 14,  # known from the extractor
    upsample_method: Literal['deconv'] = 'deconv',
    loss_mask: Node | None = None,
    **rest: Any,
) -> Node:
    entropy = loss(loss_mask, f'{path}.loss_mask', type='CrossEntropyLoss', use_sigmoid=True)
    # Each pixel of a mask is an object or not: what the releases call ``use_mask``.
    entropy = {{'use_mask': 'use_sigmoid'}.get(key, key): v for key, v in entropy.items()}
    return Node(
        path,
        rest,
        num_classes=without_background(num_classes, path),
        loss_mask=Node(f'{path}.loss_mask', entropy),
    )


def semantic_head(
    path: str, *, type: Literal['FusedSemanticHead'], num_classes: Classes, **rest: Any
) -> Node:
    """The section ``semantic_head``; its ``num_classes`` are the labels of the semantic maps."""
    return Node(path, rest, type=type, semantic_classes=num_classes)
