"""Two-stage detectors: the 2019 sections ``model``, ``train_cfg`` and ``test_cfg`` to one tree."""

from typing import Any, Literal

from hrdet.config.lower.parts import Convention
from hrdet.config.lower.parts import neck as read_neck
from hrdet.config.lower.roi import RoISettings, cascade_rcnn, faster_rcnn, htc, mask_rcnn
from hrdet.config.lower.rpn import rpn_head as read_rpn_head
from hrdet.config.lower.rpn import rpn_settings
from hrdet.config.node import Node, check_typed, keys_of, read
from hrdet.registry import check_keys

# A detector's type and the function that reads the keys of its second stage.
ROI_HEADS = {
    'FasterRCNN': faster_rcnn,
    'MaskRCNN': mask_rcnn,
    'CascadeRCNN': cascade_rcnn,
    'HybridTaskCascade': htc,
}


def two_stage(section: Node, path: str, **context: Any) -> Node:
    """The tree of a detector whose section ``model`` is given; ``context`` as ``_detector``'s."""
    roi_reader = ROI_HEADS[section['type']]
    roi_keys = keys_of(roi_reader, ['settings'])
    check_keys(section, [*keys_of(_detector, [*context, 'roi']), *roi_keys], path)
    roi = {key: section[key] for key in roi_keys if key in section}
    rest = {key: value for key, value in section.items() if key not in roi}
    return read(_detector, rest, path, roi=(roi_reader, roi), **context)


def _detector(
    path: str,
    *,
    type: str,
    backbone: Node,
    neck: Node,
    rpn_head: Node,
    pretrained: str | None = None,
    box_convention: Convention = 'inclusive',
    roi: tuple[Any, dict[str, Any]],
    train_cfg: Node,
    test_cfg: Node,
    preprocess: Node,
) -> Node:
    train = read(_train_cfg, train_cfg, 'train_cfg')
    test = read(_test_cfg, test_cfg, 'test_cfg')
    rpn = rpn_settings(train['rpn'], train['rpn_proposal'], test['rpn'])
    second = RoISettings(train['rcnn'], train['stage_loss_weights'], test['rcnn'])
    roi_reader, roi_section = roi
    return Node(
        path,
        type=type,
        preprocess=preprocess,
        backbone=check_typed(backbone, f'{path}.backbone'),
        neck=read_neck(neck, backbone, f'{path}.neck'),
        rpn_head=read(read_rpn_head, rpn_head, f'{path}.rpn_head', settings=rpn),
        roi_head=read(roi_reader, roi_section, path, settings=second),
        convention=box_convention,
    )


def _train_cfg(
    path: str,
    *,
    rpn: Node,
    rcnn: Node | list[Node],
    rpn_proposal: Node | None = None,
    stage_loss_weights: Any = None,
) -> dict[str, Any]:
    return dict(
        rpn=rpn, rcnn=rcnn, rpn_proposal=rpn_proposal, stage_loss_weights=stage_loss_weights
    )


def _test_cfg(
    path: str, *, rpn: Node, rcnn: Node, keep_all_stages: Literal[False] = False
) -> dict[str, Node]:
    return dict(rpn=rpn, rcnn=rcnn)
