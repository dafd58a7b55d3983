"""Parts of detectors: losses, matching, the neck's input, RoI extractors and heads."""

from typing import Annotated, Any, Literal

from hrdet.config.node import Node, check_choice, check_count, check_typed, read
from hrdet.ranges import Positive

Convention = Literal['inclusive', 'continuous']
# ``num_classes`` of a head as 2019 counts it: with the background.
Classes = Annotated[int, 'an integer of 2 or more', lambda n: n >= 2]


def loss(section: Node | None, path: str, **default: Any) -> Node:
    """A loss as it is written, or the default where it is left out."""
    return Node(path, default) if section is None else check_typed(section, path)


def matching(path: str, assigner: Node, sampler: Node) -> dict[str, Any]:
    """The nodes ``assigner`` and ``sampler`` of the section at ``path``."""
    assigner = check_typed(assigner, f'{path}.assigner')
    return dict(assigner=assigner, sampler=_sampler(sampler, f'{path}.sampler'))


def _sampler(section: Node, path: str) -> Node:
    """``num``, ``pos_fraction`` and the like of a CombinedSampler go to both samplers inside it."""
    if check_typed(section, path)['type'] != 'CombinedSampler':
        return section
    # A value of the inner sampler takes precedence.
    inner = ('pos_sampler', 'neg_sampler')
    shared = {k: v for k, v in section.items() if k != 'type' and k not in inner}
    parts = {name: check_typed(section.get(name), f'{path}.{name}') for name in inner}
    return section.replaced(**{k: part.replaced(**shared | part) for k, part in parts.items()})


def nms(section: Any, path: str) -> Node:
    """A section ``nms``, of one of the two kinds."""
    check_choice(check_typed(section, path)['type'], ('nms', 'soft_nms'), f'{path}.type')
    return section


def custom_head(section: Node, path: str) -> Node:
    """A head class of the user: unchanged, but ``num_classes`` does not count the background.

    If it is left out it becomes None, which ``with_num_classes`` replaces.
    """
    node = section.replaced(num_classes=without_background(section.get('num_classes'), path))
    node.names = ('num_classes',)
    return node


def without_background(num_classes: int | None, path: str) -> int | None:
    """``num_classes`` of a head at ``path`` as the number of real classes."""
    if num_classes is None:
        return None
    check_count(num_classes, f'{path}.num_classes', least=2)
    return num_classes - 1


def neck(section: Node, backbone: Node, path: str) -> Node:
    """The neck, with ``in_channels`` from HRNet's ``width`` w: w, 2w, 4w and 8w."""
    check_typed(section, path)
    # 18, or '18-small'; ``extra`` has no width, so that the neck must state its input channels.
    width = str(backbone.get('width')).partition('-')[0]
    if 'in_channels' in section or not width.isdigit():
        return section
    return section.replaced(in_channels=[int(width) * factor for factor in (1, 2, 4, 8)])


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
    return custom_head(section, path)


def _shared_fc_head(
    path: str,
    *,
    num_classes: int | None = None,
    target_means: list[float] = (0.0, 0.0, 0.0, 0.0),
    target_stds: list[Positive] = (0.1, 0.1, 0.2, 0.2),
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
    return custom_head(section, path)


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
