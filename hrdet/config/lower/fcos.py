"""Lower an FCOS: the sections ``model``, ``train_cfg`` and ``test_cfg`` become one node."""

from typing import Any

from hrdet.config.lower import parts
from hrdet.config.lower.parts import Convention
from hrdet.config.node import Node, check, check_typed, is_number, read

_GN = Node('model.bbox_head.norm_cfg', type='GN', num_groups=32)
# In pixels of the input; 1e8 is mmdetection's value for infinity.
_RANGES = ((-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8))


def fcos(
    path: str,
    *,
    type: str,
    backbone: Node,
    neck: Node,
    bbox_head: Node,
    pretrained: str | None = None,
    box_convention: Convention = 'inclusive',
    train_cfg: Node | None,
    test_cfg: Node,
    preprocess: Node,
) -> Node:
    """The node of an FCOS."""
    if train_cfg is not None:
        read(_train_cfg, train_cfg, 'train_cfg')
    testing = read(_test_cfg, test_cfg, 'test_cfg')
    return Node(
        path,
        type=type,
        preprocess=preprocess,
        backbone=check_typed(backbone, f'{path}.backbone'),
        neck=parts.neck(neck, backbone, f'{path}.neck'),
        bbox_head=_head(bbox_head, f'{path}.bbox_head', testing),
        convention=box_convention,
    )


def _train_cfg(
    path: str,
    *,
    assigner: Node | None = None,
    allowed_border: float = -1,
    pos_weight: float = -1,
    debug: bool = False,
) -> None:
    """Accepted without effect, as in mmdetection 1: FCOS assigns points without an assigner."""


def _test_cfg(
    path: str,
    *,
    score_thr: float,
    nms: Node,
    max_per_img: int,
    nms_pre: int = -1,
    min_bbox_size: float = 0,
) -> dict[str, Any]:
    return dict(
        score_thr=score_thr,
        nms=parts.nms(nms, f'{path}.nms'),
        max_per_img=max_per_img,
        nms_pre=nms_pre,
        min_bbox_size=min_bbox_size,
    )


def _head(section: Node, path: str, settings: dict[str, Any]) -> Node:
    """A head class of the user gets the settings of ``test_cfg`` besides its own arguments."""
    if check_typed(section, path)['type'] == 'FCOSHead':
        return read(_fcos_head, section, path, settings=settings)
    return parts.custom_head(section, path).replaced(**settings)


def _fcos_head(
    path: str,
    *,
    num_classes: int | None = None,
    strides: list[int] = (4, 8, 16, 32, 64),
    regress_ranges: Any = _RANGES,
    norm_cfg: Node | None = _GN,
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    loss_centerness: Node | None = None,
    settings: dict[str, Any],
    **rest: Any,
) -> Node:
    _check_ranges(regress_ranges, f'{path}.regress_ranges')
    centerness = dict(type='CrossEntropyLoss', use_sigmoid=True)
    return Node(
        path,
        rest,
        num_classes=parts.without_background(num_classes, path),
        strides=strides,
        regress_ranges=regress_ranges,
        norm_cfg=norm_cfg,
        loss_cls=parts.loss(loss_cls, f'{path}.loss_cls', type='FocalLoss'),
        loss_bbox=parts.loss(loss_bbox, f'{path}.loss_bbox', type='IoULoss'),
        loss_centerness=parts.loss(loss_centerness, f'{path}.loss_centerness', **centerness),
        **settings,
    )


def _check_ranges(ranges: Any, path: str) -> None:
    wanted = f'must be a list of pairs (least, greatest distance in pixels), not {ranges!r}'
    check(isinstance(ranges, (list, tuple)), path, wanted)
    for pair in ranges:
        two = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(map(is_number, pair))
        check(two and pair[0] < pair[1], path, wanted)
