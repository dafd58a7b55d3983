"""The region proposal network: ``rpn_head``, and ``rpn`` and ``rpn_proposal`` of the cfgs."""

from dataclasses import dataclass
from typing import Any

from hrdet.config.lower.parts import loss, matching
from hrdet.config.node import Node, check, check_choice, read


@dataclass(slots=True)
class RPNSettings:
    """What ``train_cfg`` and ``test_cfg`` say about the network."""

    training: dict[str, Any]
    beta: float | None  # of the box loss
    train_proposals: Node
    test_proposals: Node


def rpn_settings(train: Node, train_proposals: Node | None, test: Node) -> RPNSettings:
    """Read ``train_cfg.rpn``, ``train_cfg.rpn_proposal`` and ``test_cfg.rpn``."""
    training, beta = read(_training, train, 'train_cfg.rpn')
    tested = read(_proposals, test, 'test_cfg.rpn')
    # The 2019 release trains on the proposals it would make in a test.
    trained = tested
    if train_proposals is not None:
        trained = read(_proposals, train_proposals, 'train_cfg.rpn_proposal')
    return RPNSettings(training, beta, trained, tested)


def _training(
    path: str,
    *,
    assigner: Node,
    sampler: Node,
    allowed_border: float = 0,
    pos_weight: float = -1,
    smoothl1_beta: float | None = None,
    debug: bool = False,
) -> tuple[dict[str, Any], float | None]:
    arguments = matching(path, assigner, sampler)
    return arguments | dict(allowed_border=allowed_border, pos_weight=pos_weight), smoothl1_beta


def _proposals(
    path: str,
    *,
    nms_pre: int,
    nms_post: int,
    max_num: int,
    nms_thr: float,
    min_bbox_size: float = 0,
    nms_across_levels: bool = False,
) -> Node:
    return Node(
        path,
        type='ProposalConfig',
        nms_pre=nms_pre,
        nms_post=nms_post,
        max_num=max_num,
        nms_thr=nms_thr,
        min_bbox_size=min_bbox_size,
        nms_across_levels=nms_across_levels,
    )


def rpn_head(
    path: str,
    *,
    type: str,
    in_channels: int,
    feat_channels: int = 256,
    anchor_scales: list[float],
    anchor_ratios: list[float] = (0.5, 1.0, 2.0),
    anchor_strides: list[int] = (4, 8, 16, 32, 64),
    anchor_base_sizes: list[float] | None = None,
    target_means: list[float] = (0.0, 0.0, 0.0, 0.0),
    target_stds: list[float] = (1.0, 1.0, 1.0, 1.0),
    use_sigmoid_cls: bool = True,
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    settings: RPNSettings,
    convention: str,
) -> Node:
    """The section ``model.rpn_head``."""
    check_choice(type, ('RPNHead',), f'{path}.type')
    check(
        use_sigmoid_cls,
        f'{path}.use_sigmoid_cls',
        'only the sigmoid classifier exists; leave it out',
    )
    beta = settings.beta
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
        convention=convention,
    )
    return Node(
        path,
        type=type,
        in_channels=in_channels,
        feat_channels=feat_channels,
        anchors=anchors,
        coder=Node(path, type='DeltaCoder', means=target_means, stds=target_stds),
        loss_cls=loss(loss_cls, f'{path}.loss_cls', type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=loss(loss_bbox, f'{path}.loss_bbox', **default),
        **settings.training,
        train_proposals=settings.train_proposals,
        test_proposals=settings.test_proposals,
        convention=convention,
    )
