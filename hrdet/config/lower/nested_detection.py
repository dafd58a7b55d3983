"""Translate detectors of mmdetection 2 and 3 to the flat sections of the 2019 language.

mmdetection 2 and 3 nest heads in ``roi_head`` and settings in ``model``.  The result here are the
sections ``model``, ``train_cfg`` and ``test_cfg`` of 2019, which the readers of that language check
and lower.  Rules map the paths of errors and nodes back to the config that the user wrote.
"""

from collections.abc import Callable, Sequence
from typing import Any

from hrdet.config.lower import nested_heads as heads
from hrdet.config.lower.backbone import read_backbone
from hrdet.config.lower.data import Splits
from hrdet.config.lower.detection import lower_detection
from hrdet.config.lower.original_paths import (
    Rules,
    errors_at_original_paths,
    with_original_paths,
)
from hrdet.config.node import Node, check, check_choice, check_typed, read, without_none
from hrdet.ranges import Count
from hrdet.registry import is_custom, nearest

# Type of a detector -> type of its RoI head; None: one stage.
DETECTORS = {
    'FasterRCNN': 'StandardRoIHead',
    'MaskRCNN': 'StandardRoIHead',
    'CascadeRCNN': 'CascadeRoIHead',
    'HybridTaskCascade': 'HybridTaskCascadeRoIHead',
    'FCOS': None,
}

# Path in the 2019 sections -> path in a nested detector: keys that move, and keys with other names.
_OF_ROI_HEAD = (
    'bbox_head|mask_head|bbox_roi_extractor|mask_roi_extractor|semantic_head|'
    'semantic_roi_extractor|semantic_fusion|num_stages|interleaved|mask_info_flow'
)
_NESTED: Rules = (
    (rf'^model\.({_OF_ROI_HEAD})\b', r'model.roi_head.\1'),
    (r'^train_cfg\.stage_loss_weights', 'model.roi_head.stage_loss_weights'),
)
_WORDS: Rules = (
    (r'\broi_layer\.out_size$', 'roi_layer.output_size'),
    (r'\broi_layer\.sample_num$', 'roi_layer.sampling_ratio'),
    (r'\bnms\.iou_thr$', 'nms.iou_threshold'),
    (r'\brpn_head\.anchor_(\w+)$', r'rpn_head.anchor_generator.\1'),
    (r'\.(target_means|target_stds)$', r'.bbox_coder.\1'),
    (r'_cfg\.(rpn|rpn_proposal)\.nms_thr$', r'_cfg.\1.nms.iou_threshold'),
    (r'_cfg\.(rpn|rpn_proposal)\.(nms_post|max_num)$', r'_cfg.\1.max_per_img'),
)


def lower_nested(model: Node, splits: Splits, words: Rules) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for a detector and its data, and ``warnings``.

    The data sets of the splits are ``translated``; ``words`` are the rules for keys of theirs that
    this language names differently.
    """
    flat, train_cfg, test_cfg, rules = flat_detector(model)
    rules = (*rules, *words)
    with errors_at_original_paths(rules):
        lowered = lower_detection(flat, splits, train_cfg, test_cfg)
    return {key: with_original_paths(value, rules) for key, value in lowered.items()}


def translated(
    split: Node, translate: Callable[[Node, str], Node], left_out: Sequence[str] = ()
) -> Node:
    """The split with its data sets, inside of wrappers and lists too, translated to 2019.

    ``left_out`` are keys of wrappers that have no effect here.
    """
    dataset = _translated(split['dataset'], split.path, translate, left_out)
    return split.replaced(dataset=dataset)


def _translated(
    section: Any, path: str, translate: Callable[[Node, str], Node], left_out: Sequence[str]
) -> Any:
    if isinstance(section, (list, tuple)):
        parts = enumerate(section)
        return [_translated(part, f'{path}[{i}]', translate, left_out) for i, part in parts]
    kind = check_typed(section, path)['type']
    if kind in ('RepeatDataset', 'ClassBalancedDataset', 'ConcatDataset'):
        inner = 'datasets' if kind == 'ConcatDataset' else 'dataset'
        check(inner in section, f'{path}.{inner}', 'this key is required')
        # The wrapper itself is the same in 2019; only what is inside it is translated.
        parts = _translated(section[inner], f'{path}.{inner}', translate, left_out)
        return section.without(*left_out).replaced(**{inner: parts})
    known = ('CocoDataset', 'VOCDataset')
    other = f'hrdet has no data set {kind!r}{nearest(kind, known)}; supported: {", ".join(known)}'
    check(kind in known or is_custom(kind), f'{path}.type', other)
    return translate(section, path)


def flat_detector(model: Node) -> tuple[Node, Node | None, Node | None, Rules]:
    """The sections ``model``, ``train_cfg`` and ``test_cfg`` of 2019.

    Args:
        model: with ``train_cfg`` and ``test_cfg`` in it.

    Returns:
        Also the rules that ``errors_at_original_paths`` takes.

    Raises:
        ConfigError: a key or part that hrdet does not have.
    """
    kind = model['type']
    other = f'hrdet has no detector {kind!r}{nearest(kind, DETECTORS)}; supported: '
    check(kind in DETECTORS, 'model.type', f'{other}{", ".join(DETECTORS)}, as in {heads.CONFIG}')
    for name in ('train_cfg', 'test_cfg'):
        section = model.get(name)
        wrong = f'must be a dict, not {section!r}'
        check(section is None or isinstance(section, Node), f'model.{name}', wrong)
    one_stage = DETECTORS[kind] is None
    translated = read(_one_stage if one_stage else _two_stage, model, 'model')
    # train_cfg and test_cfg stand inside ``model`` or beside it: map back to where they were.
    sections = [
        (rf'^{name}\b', model[name].path)
        for name in ('train_cfg', 'test_cfg')
        if isinstance(model.get(name), Node)
    ]
    return *translated, (*(() if one_stage else _NESTED), *sections, *_WORDS)


def _two_stage(
    path: str,
    *,
    type: str,
    data_preprocessor: Any = None,
    backbone: Node,
    neck: Node,
    rpn_head: Node,
    roi_head: Node,
    train_cfg: Node | None = None,
    test_cfg: Node,
    init_cfg: None = None,
) -> tuple[Node, Node | None, Node | None]:
    train = None if train_cfg is None else read(_train_cfg, train_cfg, train_cfg.path)
    test = read(_test_cfg, test_cfg, test_cfg.path)
    wanted = DETECTORS[type]
    kind = check_typed(roi_head, f'{path}.roi_head')['type']
    check(kind == wanted, f'{path}.roi_head.type', f'{type} has a {wanted}, not a {kind}')
    # 1. The RoI head may repeat its part of train_cfg and test_cfg, which must then be equal.
    repeated = dict(train_cfg=train_cfg and train_cfg.get('rcnn'), test_cfg=test_cfg.get('rcnn'))
    # 2. Its parts move up into ``model``, and its loss weights into ``train_cfg``.
    stages, weights = read(heads.roi_head, roi_head, f'{path}.roi_head', repeated=repeated)
    if weights is not None and train is not None:
        train['stage_loss_weights'] = weights
    model = Node(
        path,
        type=type,
        backbone=_backbone(backbone, f'{path}.backbone'),
        neck=_neck(neck, f'{path}.neck'),
        rpn_head=heads.rpn_head(rpn_head, f'{path}.rpn_head'),
        box_convention='continuous',
        **stages,
    )
    return model, train, test


def _one_stage(
    path: str,
    *,
    type: str,
    data_preprocessor: Any = None,
    backbone: Node,
    neck: Node,
    bbox_head: Node,
    train_cfg: Node | None = None,
    test_cfg: Node,
    init_cfg: None = None,
) -> tuple[Node, Node | None, Node | None]:
    repeated = dict(train_cfg=train_cfg, test_cfg=test_cfg)
    model = Node(
        path,
        type=type,
        backbone=_backbone(backbone, f'{path}.backbone'),
        neck=_neck(neck, f'{path}.neck'),
        bbox_head=heads.fcos_head(bbox_head, f'{path}.bbox_head', repeated),
        box_convention='continuous',
    )
    train = None if train_cfg is None else _with_assigner(train_cfg)
    return model, train, test_cfg.replaced(nms=_nms(test_cfg.get('nms'), f'{test_cfg.path}.nms'))


def _backbone(section: Node, path: str) -> Node:
    """Lower an HRNet; a ResNet or a custom class is kept unchanged."""
    kind = check_typed(section, path)['type']
    if kind == 'ResNet' or is_custom(kind):
        return section
    return read_backbone(section, path, heads.CONFIG, norm_eval=True)


def _neck(section: Node, path: str) -> Node:
    known = ('HRFPN', 'FPN')
    kind = check_typed(section, path)['type']
    heads.check_known(kind, known, f'{path}.type', 'neck')
    return without_none(section, 'init_cfg', 'conv_cfg')


def _train_cfg(
    path: str, *, rpn: Node, rcnn: Node | list[Node], rpn_proposal: Node | None = None
) -> Node:
    stages = rcnn if isinstance(rcnn, (list, tuple)) else [rcnn]
    stages = [_with_assigner(stage) for stage in stages]
    return Node(
        'train_cfg',
        rpn=_with_assigner(rpn),
        rcnn=list(stages) if isinstance(rcnn, (list, tuple)) else stages[0],
        rpn_proposal=rpn_proposal and _proposals(rpn_proposal),
    )


def _test_cfg(path: str, *, rpn: Node, rcnn: Node) -> Node:
    rcnn = rcnn.replaced(nms=_nms(rcnn.get('nms'), f'{rcnn.path}.nms'))
    return Node('test_cfg', rpn=_proposals(rpn), rcnn=rcnn)


def _with_assigner(section: Node) -> Node:
    """The section without ``assigner.iou_calculator``, of which only the default exists."""
    check(isinstance(section, Node), getattr(section, 'path', 'train_cfg'), 'must be a dict')
    assigner = section.get('assigner')
    if not isinstance(assigner, Node) or 'iou_calculator' not in assigner:
        return section
    plain = dict(type='BboxOverlaps2D')
    here = f'{assigner.path}.iou_calculator'
    check(assigner['iou_calculator'] == plain, here, f'only {plain} exists: leave it out')
    return section.replaced(assigner=assigner.without('iou_calculator'))


def _proposals(section: Node) -> Node:
    """``max_per_img`` becomes both ``nms_post`` (per level) and ``max_num`` (all levels)."""
    if 'nms_thr' in section:  # mmdetection 2.0 to 2.6 has the keys of 2019
        return section
    return read(_proposal_cfg, section, section.path)


def _proposal_cfg(
    path: str,
    *,
    nms_pre: Count,
    max_per_img: Count,
    nms: Node,
    min_bbox_size: float = 0,
) -> Node:
    check_choice(check_typed(nms, f'{path}.nms')['type'], ('nms',), f'{path}.nms.type')
    return Node(
        path,
        nms_pre=nms_pre,
        nms_post=max_per_img,
        max_num=max_per_img,
        nms_thr=_nms(nms, f'{path}.nms').get('iou_thr'),
        min_bbox_size=min_bbox_size,
    )


def _nms(section: Any, path: str) -> Node:
    """``iou_thr`` of 2019 is ``iou_threshold`` since mmdetection 2.3."""
    check_typed(section, path)
    if 'iou_threshold' not in section:
        return section
    check(
        'iou_thr' not in section, f'{path}.iou_thr', 'the earlier name of iou_threshold; keep one'
    )
    names = {'iou_threshold': 'iou_thr'}
    return Node(path, {names.get(key, key): value for key, value in section.items()})
