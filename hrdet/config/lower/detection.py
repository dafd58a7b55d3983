"""Object detection, with the model in the sections of 2019: model, data sets and metrics."""

from functools import partial
from typing import Any

from hrdet.config.lower.data import Splits, lower_detection_data
from hrdet.config.lower.fcos import fcos
from hrdet.config.lower.transforms import Context
from hrdet.config.lower.two_stage import ROI_HEADS, two_stage
from hrdet.config.node import Node, check, check_choice, check_count, read
from hrdet.ranges import Count
from hrdet.registry import nearest

METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')
# Type of a detector -> function that lowers its section ``model``.
DETECTORS = {**dict.fromkeys(ROI_HEADS, two_stage), 'FCOS': partial(read, fcos)}


def lower_detection(
    model: Node,
    splits: Splits,
    train_cfg: Node | None,
    test_cfg: Node | None,
    classes: Any = None,
) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data, and ``warnings``.

    ``classes`` are the class names of data sets that have none of their own.
    """
    kind = model['type']
    supported = f'there is no detector {kind!r}{nearest(kind, DETECTORS)}; supported: '
    check(kind in DETECTORS, 'model.type', supported + ', '.join(DETECTORS))
    # 1. The data, which depend on what the model learns: masks, semantic maps.
    masks, semantics = (model.get(head) is not None for head in ('mask_head', 'semantic_head'))
    maps = _semantic_maps(model) if semantics else None
    one_size = any(split.get('pad_size') for split in splits.values())
    context = Context(model.get('box_convention', 'inclusive'), masks, maps, one_size, classes)
    nodes, preprocess, names, has_maps = lower_detection_data(splits, context)
    # 2. Warnings about settings that are valid but probably wrong.
    warnings: list[str] = []
    if semantics and has_maps is False:
        model = _without_semantics(model, warnings)
    warnings += _proposal_warnings(splits)
    # 3. The model and its evaluators.
    cfgs = dict(train_cfg=train_cfg, test_cfg=test_cfg)
    model = DETECTORS[kind](model, 'model', **cfgs, preprocess=preprocess)
    for name, split in splits.items():
        if split.get('evaluator') is not None:
            file = nodes[name]['dataset'].get('ann_file')
            nodes[name]['evaluator'] = _evaluator(split['evaluator'], masks, str(file))
    return dict(model=model, classes=names, **nodes, warnings=warnings)


def coco_evaluator(
    path: str, *, metric: str | list[str] | None = None, interval: Count = 1
) -> Node:
    """The evaluator before the model is known: without ``metric`` all that suit what it predicts.

    ``interval`` of a section ``evaluation`` belongs to the training.
    """
    metrics = [metric] if isinstance(metric, str) else metric
    for name in metrics or ():
        check_choice(name, METRICS, f'{path}.metric')
    return Node(path, metrics=metrics)


def _evaluator(section: Node, masks: bool, file: str) -> Node:
    """The node ``CocoMetric`` of a data set with this annotation file."""
    path, given = section.path, section.get('ann_file')
    other = f'{given!r} is not the file of the data set, {file!r}: leave it out'
    check(given is None or str(given).endswith(file), f'{path}.ann_file', other)
    metrics = section['metrics']
    if not metrics:
        metrics = ['bbox', 'segm'] if masks else ['bbox']
    unpredicted = "'segm' measures masks, and the model has no mask_head: leave it out"
    check(masks or 'segm' not in metrics, f'{path}.metric', unpredicted)
    return Node(path, type='CocoMetric', metrics=list(metrics))


def _semantic_maps(detector: Node) -> tuple[int, int | None]:
    """Stride of the semantic head's output, in pixels of the network input, and its labels.

    The semantic RoI extractor, which crops regions from features of the same stride, states it.
    """
    extractor = detector.get('semantic_roi_extractor')
    strides = extractor.get('featmap_strides', [8]) if isinstance(extractor, Node) else [8]
    path = f'{detector.path}.semantic_roi_extractor.featmap_strides'
    one = isinstance(strides, (list, tuple)) and len(strides) == 1
    check(one, path, f'must be a list of one stride, that of fusion_level, not {strides!r}')
    check_count(strides[0], f'{path}[0]')
    head = detector['semantic_head']
    return strides[0], head.get('num_classes') if isinstance(head, Node) else None


def _without_semantics(detector: Node, warnings: list[str]) -> Node:
    """The detector without its semantic branch, for data without semantic maps."""
    warnings.append(
        f'{detector.path}.semantic_head: left out of the model, because data.train has no semantic '
        f'maps to learn it from; seg_prefix names their folder (and a pipeline needs with_seg=True)'
    )
    return detector.without('semantic_head', 'semantic_roi_extractor')


def _proposal_warnings(splits: Splits) -> list[str]:
    return [
        f'{split.path}.proposal_file: loaded with the samples, but not used: the detector '
        f'proposes its own regions (model.rpn_head), as in 2019'
        for split in splits.values()
        if isinstance(split['dataset'], Node) and split['dataset'].get('proposal_file')
    ]
