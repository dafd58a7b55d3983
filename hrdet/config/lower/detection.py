"""Object detection in the 2019 language: model, data sets and metrics."""

from functools import partial
from typing import Any

from hrdet.config.lower.data import read_data
from hrdet.config.lower.fcos import fcos
from hrdet.config.lower.two_stage import ROI_HEADS, two_stage
from hrdet.config.node import Node, check, check_choice, check_count, read
from hrdet.ranges import Count
from hrdet.registry import nearest

METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')
# Type of a detector -> function that lowers its section ``model``.
DETECTORS = {**dict.fromkeys(ROI_HEADS, two_stage), 'FCOS': partial(read, fcos)}


def lower_detection(
    path: str,
    *,
    model: Node,
    data: Node | None = None,
    train_cfg: Node | None = None,
    test_cfg: Node | None = None,
    classes: Any = None,
    evaluation: Node | None = None,
) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data, and ``warnings``."""
    kind = model['type']
    supported = f'there is no detector {kind!r}{nearest(kind, DETECTORS)}; supported: '
    check(kind in DETECTORS, 'model.type', supported + ', '.join(DETECTORS))
    # 1. The data, which depend on what the model learns: masks, semantic maps.
    masks, semantics = (model.get(head) is not None for head in ('mask_head', 'semantic_head'))
    splits, preprocess, names, has_maps = read(
        read_data,
        data,
        'data',
        classes=classes,
        convention=model.get('box_convention', 'inclusive'),
        masks=masks,
        semantics=_semantic_stride(model) if semantics else None,
    )
    # 2. Warnings about settings that are valid but probably wrong.
    warnings: list[str] = []
    if semantics and has_maps is False:
        model = _without_semantics(model, warnings)
    warnings += _proposal_warnings(data)
    # 3. The model and its evaluator.
    cfgs = dict(train_cfg=train_cfg, test_cfg=test_cfg)
    model = DETECTORS[kind](model, 'model', **cfgs, preprocess=preprocess)
    wanted = {} if evaluation is None else evaluation
    evaluator = read(_evaluator, wanted, 'evaluation', masks=masks)
    for name in splits.keys() - {'train'}:
        splits[name]['evaluator'] = evaluator
    return dict(model=model, classes=names, **splits, warnings=warnings)


def _evaluator(
    path: str, *, interval: Count = 1, metric: str | list[str] | None = None, masks: bool
) -> Node:
    """``evaluation``: the metrics; by default all that suit what the model predicts."""
    if metric is None:
        metric = ['bbox', 'segm'] if masks else 'bbox'
    metrics = [metric] if isinstance(metric, str) else list(metric)
    for name in metrics:
        check_choice(name, METRICS, f'{path}.metric')
    unpredicted = "'segm' measures masks, and the model has no mask_head: leave it out"
    check(masks or 'segm' not in metrics, f'{path}.metric', unpredicted)
    return Node(path, type='CocoMetric', metrics=metrics)


def _semantic_stride(detector: Node) -> int:
    """Stride of the semantic head's output, in pixels of the network input.

    The semantic RoI extractor, which crops regions from features of the same stride, states it.
    """
    extractor = detector.get('semantic_roi_extractor')
    strides = extractor.get('featmap_strides', [8]) if isinstance(extractor, Node) else [8]
    path = f'{detector.path}.semantic_roi_extractor.featmap_strides'
    one = isinstance(strides, (list, tuple)) and len(strides) == 1
    check(one, path, f'must be a list of one stride, that of fusion_level, not {strides!r}')
    check_count(strides[0], f'{path}[0]')
    return strides[0]


def _without_semantics(detector: Node, warnings: list[str]) -> Node:
    """The detector without its semantic branch, for data without semantic maps."""
    warnings.append(
        f'{detector.path}.semantic_head: left out of the model, because data.train has no semantic '
        f'maps to learn it from; seg_prefix names their folder (and a pipeline needs with_seg=True)'
    )
    left_out = ('semantic_head', 'semantic_roi_extractor')
    return Node(detector.path, {k: v for k, v in detector.items() if k not in left_out})


def _proposal_warnings(sections: Node) -> list[str]:
    return [
        f'{section.path}.proposal_file: loaded with the samples, but not used: the detector '
        f'proposes its own regions (model.rpn_head), as in 2019'
        for section in sections.values()
        if isinstance(section, Node) and section.get('proposal_file')
    ]
