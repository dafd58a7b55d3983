"""Lower two-stage detectors: ``model``, ``train_cfg`` and ``test_cfg`` become one node."""

from typing import Any, Literal

from hrdet.config.lower.parts import Convention, loss, matching
from hrdet.config.lower.parts import neck as read_neck
from hrdet.config.lower.roi import TestCfg, TrainCfg, cascade_rcnn, faster_rcnn, htc, mask_rcnn
from hrdet.config.node import Node, check, check_typed, keys_of, read
from hrdet.ranges import Counts, Positive, Positives
from hrdet.registry import check_keys

# Type of a detector -> function that lowers the keys of its second stage.
ROI_HEADS = {
    'FasterRCNN': faster_rcnn,
    'MaskRCNN': mask_rcnn,
    'CascadeRCNN': cascade_rcnn,
    'HybridTaskCascade': htc,
}


def two_stage(section: Node, path: str, **context: Any) -> Node:
    """The tree of a detector whose section ``model`` is given; ``context`` as ``_detector``'s."""
    # The keys of the second stage depend on the type: they are left to their own reader.
    roi_keys = keys_of(ROI_HEADS[section['type']], ['train', 'test'])
    check_keys(section, [*keys_of(_detector, context), *roi_keys], path)
    return read(_detector, section, path, **context)


def _detector(
    path: str,
    *,
    type: str,
    backbone: Node,
    neck: Node,
    rpn_head: Node,
    pretrained: str | None = None,
    box_convention: Convention = 'inclusive',
    train_cfg: Node,
    test_cfg: Node,
    preprocess: Node,
    **roi: Any,
) -> Node:
    train = read(TrainCfg, train_cfg, 'train_cfg')
    test = read(TestCfg, test_cfg, 'test_cfg')
    # As in the 2019 release, training uses the proposals of test_cfg unless rpn_proposal is given.
    rpn = read(_rpn_training, train.rpn, 'train_cfg.rpn')
    proposals = read(_proposals, test.rpn, 'test_cfg.rpn')
    rpn |= dict(train_proposals=proposals, test_proposals=proposals)
    if train.rpn_proposal is not None:
        rpn['train_proposals'] = read(_proposals, train.rpn_proposal, 'train_cfg.rpn_proposal')
    return Node(
        path,
        type=type,
        preprocess=preprocess,
        backbone=check_typed(backbone, f'{path}.backbone'),
        neck=read_neck(neck, backbone, f'{path}.neck'),
        rpn_head=read(_rpn_head, rpn_head, f'{path}.rpn_head', settings=rpn),
        roi_head=read(ROI_HEADS[type], roi, path, train=train, test=test),
        convention=box_convention,
    )


def _rpn_training(
    path: str,
    *,
    assigner: Node,
    sampler: Node,
    allowed_border: float = 0,
    pos_weight: float = -1,
    smoothl1_beta: float | None = None,
    debug: bool = False,
) -> dict[str, Any]:
    settings = dict(allowed_border=allowed_border, pos_weight=pos_weight, beta=smoothl1_beta)
    return matching(path, assigner, sampler) | settings


def _proposals(path: str, **rest: Any) -> Node:
    return Node(path, rest, type='ProposalConfig')


def _rpn_head(
    path: str,
    *,
    type: Literal['RPNHead'],
    anchor_scales: Positives,
    anchor_ratios: Positives = (0.5, 1.0, 2.0),
    anchor_strides: Counts = (4, 8, 16, 32, 64),
    anchor_base_sizes: Positives | None = None,
    target_means: list[float] = (0.0, 0.0, 0.0, 0.0),
    target_stds: list[Positive] = (1.0, 1.0, 1.0, 1.0),
    use_sigmoid_cls: bool = True,
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    settings: dict[str, Any],
    **rest: Any,
) -> Node:
    """The section ``model.rpn_head``; ``settings`` are those of the cfgs."""
    only = 'only the sigmoid classifier exists; leave it out'
    check(use_sigmoid_cls is True, f'{path}.use_sigmoid_cls', only)
    # The 2019 release has beta of the box loss in train_cfg, mmdetection 1.x in the loss; both 1/9.
    settings = dict(settings)
    beta = settings.pop('beta')
    double = f'{path}.loss_bbox has a beta already; keep one'
    check(beta is None or loss_bbox is None, 'train_cfg.rpn.smoothl1_beta', double)
    default = dict(type='SmoothL1Loss', beta=1 / 9 if beta is None else beta)
    anchors = Node(
        path,
        type='AnchorGenerator',
        strides=anchor_strides,
        scales=anchor_scales,
        ratios=anchor_ratios,
        base_sizes=anchor_base_sizes,
    )
    return Node(
        path,
        rest,
        type=type,
        anchors=anchors,
        coder=Node(path, type='DeltaCoder', means=target_means, stds=target_stds),
        loss_cls=loss(loss_cls, f'{path}.loss_cls', type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=loss(loss_bbox, f'{path}.loss_bbox', **default),
        **settings,
    )
