"""Object detection in the 2019 language: model, data sets and what is measured."""

from functools import partial
from typing import Any

from hrdet.config.lower.data import Data, read_data
from hrdet.config.lower.fcos import fcos
from hrdet.config.lower.two_stage import ROI_HEADS, two_stage
from hrdet.config.node import Count, Node, check, check_choice, check_count, read
from hrdet.registry import nearest

METRICS = ('bbox', 'segm', 'proposal', 'proposal_fast')
# A detector's type and the function that lowers its section ``model``.
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
    """Arguments of ``RunConfig`` about the model and its data, and ``warnings``."""
    detector, kind = model, model['type']
    supported = f'there is no detector {kind!r}{nearest(kind, DETECTORS)}; supported: '
    check(kind in DETECTORS, 'model.type', supported + ', '.join(DETECTORS))
    masks = detector.get('mask_head') is not None
    proposals = _proposal_warning(data)
    data = read(
        read_data,
        data,
        'data',
        classes=classes,
        convention=detector.get('box_convention', 'inclusive'),
        masks=masks,
        semantics=_semantic_stride(detector),
    )
    detector, warnings = _without_untrained_semantics(detector, data)
    cfgs = dict(train_cfg=train_cfg, test_cfg=test_cfg)
    model = DETECTORS[kind](detector, 'model', **cfgs, preprocess=data.preprocess)
    wanted = {} if evaluation is None else evaluation
    evaluator = read(_evaluator, wanted, 'evaluation', masks=masks)
    for split in ('val', 'test'):
        if data.splits[split]:
            data.splits[split]['evaluator'] = evaluator
    warnings += _order_warning(data) + proposals
    return dict(model=model, classes=data.classes, **data.splits, warnings=warnings)


def _evaluator(
    path: str, *, interval: Count = 1, metric: str | list[str] | None = None, masks: bool
) -> Node:
    """``evaluation``: what is measured; left out, everything that the model predicts."""
    if metric is None:
        metric = ['bbox', 'segm'] if masks else 'bbox'
    metrics = [metric] if isinstance(metric, str) else list(metric)
    for name in metrics:
        check_choice(name, METRICS, f'{path}.metric')
    unpredicted = "'segm' measures masks, and the model has no mask_head: leave it out"
    check(masks or 'segm' not in metrics, f'{path}.metric', unpredicted)
    return Node(path, type='CocoMetric', metrics=metrics)


def _semantic_stride(detector: Node) -> int | None:
    """Input pixels per pixel of the map that the semantic head learns; None: it has no such head.

    Regions are cut out of that map by their own extractor, which says it.
    """
    if detector.get('semantic_head') is None:
        return None
    extractor = detector.get('semantic_roi_extractor')
    strides = extractor.get('featmap_strides', [8]) if isinstance(extractor, Node) else [8]
    path = f'{detector.path}.semantic_roi_extractor.featmap_strides'
    one = isinstance(strides, (list, tuple)) and len(strides) == 1
    check(one, path, f'a list of one stride, that of fusion_level, is wanted here, not {strides!r}')
    check_count(strides[0], f'{path}[0]')
    return strides[0]


def _without_untrained_semantics(detector: Node, data: Data) -> tuple[Node, list[str]]:
    """The detector without its semantic branch where the training data has no maps; warnings."""
    if detector.get('semantic_head') is None or data.semantics is not False:
        return detector, []
    left_out = ('semantic_head', 'semantic_roi_extractor')
    note = (
        f'{detector.path}.semantic_head: left out of the model, because data.train has no semantic '
        f'maps to learn it from; seg_prefix names their folder (and a pipeline needs with_seg=True)'
    )
    rest = {key: value for key, value in detector.items() if key not in left_out}
    return Node(detector.path, rest), [note]


def _order_warning(data: Data) -> list[str]:
    mean, path = data.preprocess['mean'], data.preprocess.path
    if data.preprocess['channel_order'] == 'bgr' and mean[0] > mean[2] + 10:
        return [
            f'{path}: to_rgb=False with the mean {mean}, which looks like one of RGB '
            f'images: the model will see BGR. Weights trained on RGB need to_rgb=True'
        ]
    return []


def _proposal_warning(sections: Node | None) -> list[str]:
    return [
        f'{section.path}.proposal_file: loaded with the samples, but not used: the detector '
        f'proposes its own regions (model.rpn_head), as in the release'
        for section in (sections or {}).values()
        if isinstance(section, Node) and section.get('proposal_file')
    ]
