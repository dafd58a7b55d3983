"""The region proposal network: ``rpn_head``, and ``rpn`` and ``rpn_proposal`` of the cfgs."""

from typing import Any, Literal

from hrdet.config.lower.parts import loss, matching
from hrdet.config.node import Node, check, read


def rpn_settings(train: Node, train_proposals: Node | None, test: Node) -> dict[str, Any]:
    """What ``train_cfg.rpn``, ``train_cfg.rpn_proposal`` and ``test_cfg.rpn`` say."""
    settings = read(_training, train, 'train_cfg.rpn')
    tested = read(_proposals, test, 'test_cfg.rpn')
    # The 2019 release trains on the proposals it would make in a test.
    trained = tested
    if train_proposals is not None:
        trained = read(_proposals, train_proposals, 'train_cfg.rpn_proposal')
    return settings | dict(train_proposals=trained, test_proposals=tested)


def _training(
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


def rpn_head(
    path: str,
    *,
    type: Literal['RPNHead'],
    anchor_scales: list[float],
    anchor_ratios: list[float] = (0.5, 1.0, 2.0),
    anchor_strides: list[int] = (4, 8, 16, 32, 64),
    anchor_base_sizes: list[float] | None = None,
    target_means: list[float] = (0.0, 0.0, 0.0, 0.0),
    target_stds: list[float] = (1.0, 1.0, 1.0, 1.0),
    use_sigmoid_cls: bool = True,
    loss_cls: Node | None = None,
    loss_bbox: Node | None = None,
    settings: dict[str, Any],
    **rest: Any,
) -> Node:
    """The section ``model.rpn_head``; ``settings`` are those of the cfgs."""
    only = 'only the sigmoid classifier exists; leave it out'
    check(use_sigmoid_cls is True, f'{path}.use_sigmoid_cls', only)
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
