"""Two-stage detectors: the 2019 sections ``model``, ``train_cfg`` and ``test_cfg`` to one tree."""

from dataclasses import dataclass
from typing import Any

from hrdet.config.node import Node, check, check_choice, check_count, check_typed, read


@dataclass(slots=True)
class Stages:
    """``train_cfg`` or ``test_cfg`` of a two-stage detector: arguments by part."""

    rpn: dict[str, Any]
    proposals: Node | None
    rcnn: dict[str, Any]
    rpn_beta: float | None = None


def faster_rcnn(
    path: str,
    *,
    type: str,
    backbone: Node,
    neck: Node,
    rpn_head: Node,
    bbox_roi_extractor: Node,
    bbox_head: Node,
    pretrained: str | None = None,
    box_convention: str = 'inclusive',
    train_cfg: Node,
    test_cfg: Node,
    preprocess: Node,
) -> Node:
    """The tree of a Faster R-CNN."""
    check_choice(box_convention, ('inclusive', 'continuous'), f'{path}.box_convention')
    train = read(_train_cfg, train_cfg, 'train_cfg')
    test = read(_test_cfg, test_cfg, 'test_cfg')
    roi_head = Node(
        path,
        type='StandardRoIHead',
        bbox_roi_extractor=_extractor(
            bbox_roi_extractor, f'{path}.bbox_roi_extractor', box_convention
        ),
        bbox_head=_box_head(bbox_head, f'{path}.bbox_head'),
        **train.rcnn,
        **test.rcnn,
        convention=box_convention,
    )
    return Node(
        path,
        type=type,
        preprocess=preprocess,
        backbone=check_typed(backbone, f'{path}.backbone'),
        neck=_neck(check_typed(neck, f'{path}.neck'), backbone),
        rpn_head=read(
            _rpn_head,
            rpn_head,
            f'{path}.rpn_head',
            train=train,
            test=test,
            convention=box_convention,
        ),
        roi_head=roi_head,
        convention=box_convention,
    )


def _train_cfg(path: str, *, rpn: Node, rcnn: Node, rpn_proposal: Node | None = None) -> Stages:
    rpn_arguments, beta = read(_rpn_training, rpn, f'{path}.rpn')
    proposals = None
    if rpn_proposal is not None:
        proposals = read(_proposals, rpn_proposal, f'{path}.rpn_proposal')
    return Stages(rpn_arguments, proposals, read(_rcnn_training, rcnn, f'{path}.rcnn'), beta)


def _test_cfg(path: str, *, rpn: Node, rcnn: Node) -> Stages:
    proposals = read(_proposals, rpn, f'{path}.rpn')
    return Stages({}, proposals, read(_rcnn_testing, rcnn, f'{path}.rcnn'))


def _rpn_training(
    path: str,
    *,
    assigner: Node,
    sampler: Node,
    allowed_border: float = 0,
    pos_weight: float = -1,
    smoothl1_beta: float | None = None,
    debug: bool = False,
) -> tuple[dict[str, Any], float | None]:
    arguments = _matching(path, assigner, sampler)
    return arguments | dict(allowed_border=allowed_border, pos_weight=pos_weight), smoothl1_beta


def _rcnn_training(
    path: str, *, assigner: Node, sampler: Node, pos_weight: float = -1, debug: bool = False
) -> dict[str, Any]:
    return _matching(path, assigner, sampler) | dict(pos_weight=pos_weight)


def _matching(path: str, assigner: Node, sampler: Node) -> dict[str, Any]:
    assigner = check_typed(assigner, f'{path}.assigner')
    return dict(assigner=assigner, sampler=_sampler(sampler, f'{path}.sampler'))


def _sampler(section: Node, path: str) -> Node:
    """The samplers inside a CombinedSampler share its numbers."""
    if check_typed(section, path)['type'] != 'CombinedSampler':
        return section
    inner = ('pos_sampler', 'neg_sampler')
    shared = {k: v for k, v in section.items() if k != 'type' and k not in inner}
    parts = {name: check_typed(section.get(name), f'{path}.{name}') for name in inner}
    return Node(
        path, **section | {k: Node(part.path, **shared | part) for k, part in parts.items()}
    )


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


def _rcnn_testing(path: str, *, score_thr: float, nms: Node, max_per_img: int) -> dict[str, Any]:
    check_choice(check_typed(nms, f'{path}.nms')['type'], ('nms', 'soft_nms'), f'{path}.nms.type')
    return dict(score_thr=score_thr, nms=nms, max_per_img=max_per_img)


def _rpn_head(
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
    train: Stages,
    test: Stages,
    convention: str,
) -> Node:
    check_choice(type, ('RPNHead',), f'{path}.type')
    check(
        use_sigmoid_cls,
        f'{path}.use_sigmoid_cls',
        'only the sigmoid classifier exists; leave it out',
    )
    beta = train.rpn_beta
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
        loss_cls=_loss(loss_cls, f'{path}.loss_cls', type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=_loss(loss_bbox, f'{path}.loss_bbox', **default),
        **train.rpn,
        # The 2019 release trains on the proposals it would make in a test.
        train_proposals=train.proposals or test.proposals,
        test_proposals=test.proposals,
        convention=convention,
    )


def _loss(section: Node | None, path: str, **default: Any) -> Node:
    return Node(path, **default) if section is None else check_typed(section, path)


def _extractor(section: Node, path: str, convention: str) -> Node:
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


def _box_head(section: Node, path: str) -> Node:
    """A head of the user's own passes through; only its ``num_classes`` loses the background."""
    if check_typed(section, path)['type'] == 'SharedFCBBoxHead':
        return read(_shared_fc_head, section, path)
    if 'num_classes' not in section:
        return section
    return Node(
        path, **section | {'num_classes': _without_background(section['num_classes'], path)}
    )


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
        num_classes=_without_background(num_classes, path),
        coder=Node(path, type='DeltaCoder', means=target_means, stds=target_stds),
        reg_class_agnostic=reg_class_agnostic,
        loss_cls=_loss(loss_cls, f'{path}.loss_cls', type='CrossEntropyLoss'),
        loss_bbox=_loss(loss_bbox, f'{path}.loss_bbox', type='SmoothL1Loss', beta=1.0),
    )


def _without_background(num_classes: int | None, path: str) -> int | None:
    if num_classes is None:
        return None
    check_count(num_classes, f'{path}.num_classes', least=2)
    return num_classes - 1


def _neck(neck: Node, backbone: Node) -> Node:
    """HRNet's short form ``width`` tells the neck its input: w, 2w, 4w and 8w channels."""
    width = str(backbone.get('width')).partition('-')[0]  # 18, or '18-small'
    if 'in_channels' in neck or not width.isdigit():
        return neck
    width = int(width)
    return Node(neck.path, **neck | {'in_channels': [width, 2 * width, 4 * width, 8 * width]})
