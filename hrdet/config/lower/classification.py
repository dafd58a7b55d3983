"""Image classification in both OpenMMLab languages: model, data sets, steps and accuracy."""

from typing import Any, Literal

from hrdet.config.lower.backbone import read_backbone
from hrdet.config.lower.classification_steps import STEPS, ClassificationPipeline, read_steps
from hrdet.config.lower.data import agreed
from hrdet.config.lower.splits import Split, agreed_norm, lower_splits, views_on_request
from hrdet.config.node import Node, check, check_choice, check_typed, read
from hrdet.ranges import Count, Fraction, Positive

_CONFIG = 'configs/hrnet/hrnet-w18_4xb32_in1k.py'
_NECKS = ('HRFuseScales', 'GlobalAveragePooling')
_DATASETS = ('ImageNet', 'CustomDataset')


def lower_classification(
    model: Node, splits: dict[str, Split], norm: Node | None, language: str
) -> dict[str, Any]:
    """Arguments of ``RunConfig`` about the model and its data.

    Args:
        model: the section of that name.
        splits: train, val and test, those that there are.
        norm: a node ``Preprocess``, or None where the pipelines normalise.
        language: whose names the steps of the pipelines have.
    """
    found: list[tuple[Node, ClassificationPipeline]] = []

    def plain(section: Node, training: bool) -> Node:
        check_choice(section['type'], _DATASETS, f'{section.path}.type')
        context = dict(training=training, language=language, found=found)
        return read(_dataset, section, section.path, **context)

    lowered = lower_splits(splits, plain)
    for name, split in splits.items():
        if split.tta is not None:
            path = split.tta[0][0].path
            views = [read_steps(steps, path, False, STEPS[language]) for steps in split.tta]
            lowered[name]['tta'] = views_on_request(path, [view.transforms for view in views])
    norms = [pipeline.norm for _, pipeline in found if pipeline.norm is not None]
    check(norm is not None or norms, 'data', "no pipeline has a step dict(type='Normalize', ...)")
    norm = norm or agreed_norm(norms)
    classes = agreed(
        [(f'{node.path}.classes', node['classes']) for node, _ in found if 'classes' in node],
        '{} and {} differ, but a model has one list of classes: {} and {}',
    )
    model = read(_classifier, model, 'model', preprocess=norm)
    named = isinstance(classes, tuple)  # or a file of names, which the data set reads
    return dict(model=model, classes=classes if named else None, **lowered)


def _classifier(
    path: str,
    *,
    type: Literal['ImageClassifier'],
    backbone: Node,
    neck: Node | list[Node],
    head: Node,
    train_cfg: Node | None = None,
    data_preprocessor: Node | None = None,
    init_cfg: None = None,
    preprocess: Node,
) -> Node:
    """The tree of a classifier, whose initial weights are read elsewhere."""
    backbone = read_backbone(backbone, f'{path}.backbone', _CONFIG, norm_eval=False)
    necks = list(neck) if isinstance(neck, (list, tuple)) else [neck]
    for section in necks:
        check_typed(section, f'{path}.neck')
        check_choice(section['type'], _NECKS, f'{section.path}.type')
    batch = {} if train_cfg is None else read(_train_cfg, train_cfg, f'{path}.train_cfg')
    kind = check_typed(head, f'{path}.head')['type']
    check_choice(kind, ('LinearClsHead',), f'{path}.head.type')
    return Node(
        path,
        type=type,
        preprocess=preprocess,
        backbone=backbone,
        neck=[_without(section, 'init_cfg', 'conv_cfg') for section in necks],
        head=read(_head, head, f'{path}.head'),
        **batch,
    )


def _without(section: Node, *keys: str) -> Node:
    """The section without keys that may be None only."""
    for key in keys:
        check(section.get(key) is None, f'{section.path}.{key}', 'only None exists: leave it out')
    return Node(section.path, {k: v for k, v in section.items() if k not in keys})


def _head(
    path: str,
    *,
    type: str,
    num_classes: Count | None = None,
    in_channels: Count,
    loss: Node | None = None,
    topk: Any = (1,),
    cal_acc: bool = False,
    init_cfg: Any = None,
) -> Node:
    """``topk`` and ``cal_acc``, the accuracy of batches that are trained on, have no effect."""
    arguments: dict[str, Any] = {}
    if loss is not None:
        kind = check_typed(loss, f'{path}.loss')['type']
        check_choice(kind, _LOSSES, f'{path}.loss.type')
        arguments = read(_LOSSES[kind], loss, f'{path}.loss')
    if init_cfg is not None:
        wanted = dict(type='Normal', layer='Linear', std=0.01)
        only = f'only {wanted} exists, which is the default: leave it out'
        check(init_cfg == wanted, f'{path}.init_cfg', only)
    return Node(path, type=type, num_classes=num_classes, in_channels=in_channels, **arguments)


def _cross_entropy(
    path: str, *, type: str, loss_weight: Positive = 1.0, use_soft: bool = False
) -> dict[str, Any]:
    """Labels that are mixtures are recognised: ``use_soft`` has no effect."""
    return dict(loss_weight=loss_weight)


def _label_smoothing(
    path: str,
    *,
    type: str,
    label_smooth_val: Fraction,
    num_classes: int | None = None,
    mode: Literal['original'] = 'original',
    loss_weight: Positive = 1.0,
) -> dict[str, Any]:
    return dict(label_smoothing=label_smooth_val, loss_weight=loss_weight)


_LOSSES = {'CrossEntropyLoss': _cross_entropy, 'LabelSmoothLoss': _label_smoothing}


def _train_cfg(
    path: str, *, augments: Node | list[Node] | None = None, probs: list[float] | None = None
) -> dict[str, Any]:
    """Mixup and cutmix, of which one is drawn for each batch."""
    rows = augments if isinstance(augments, (list, tuple)) else [augments] if augments else []
    even = 'each is drawn as often as the others: leave it out'
    check(probs is None or all(p == 1 / len(rows) for p in probs), f'{path}.probs', even)
    return dict(batch_augments=[read(_mixing, row, row.path) for row in rows]) if rows else {}


def _mixing(
    path: str,
    *,
    type: Literal['Mixup', 'CutMix', 'BatchMixup', 'BatchCutMix'],
    alpha: Positive = 1.0,
    num_classes: int | None = None,
    prob: Literal[1, 1.0] = 1.0,
) -> Node:
    return Node(path, type=type.removeprefix('Batch'), alpha=alpha)


def accuracy(path: str, *, type: Literal['Accuracy'], topk: Any = (1,), thrs: Any = 0.0) -> Node:
    """The evaluator, as OpenMMLab 2 writes it."""
    check(thrs in (0, None), f'{path}.thrs', 'thresholds of scores do not exist: leave it out')
    return Node(path, type=type, topk=(topk,) if isinstance(topk, int) else tuple(topk))


def accuracy_of_mmcls(
    path: str, *, metric: Any = 'accuracy', metric_options: Node | None = None
) -> Node:
    """The evaluator, as ``evaluation`` of mmcls 0.x writes it."""
    only = f'classifiers are measured by their accuracy, not by {metric!r}'
    check(metric in ('accuracy', ['accuracy'], ('accuracy',)), f'{path}.metric', only)
    here = f'{path}.metric_options'
    options = {} if metric_options is None else read(_metric_options, metric_options, here)
    return accuracy(path, type='Accuracy', **{'topk': (1, 5), **options})


def _metric_options(path: str, *, topk: Any = (1, 5), thrs: Any = None) -> dict[str, Any]:
    return dict(topk=topk, thrs=thrs)


def _dataset(
    path: str,
    *,
    type: str,
    pipeline: list[Node],
    data_root: str = '',
    data_prefix: str | Node = '',
    ann_file: str | None = '',
    metainfo: Node | None = None,
    classes: Any = None,
    test_mode: bool | None = None,
    lazy_init: Literal[False] = False,
    training: bool,
    language: str,
    found: list[tuple[Node, ClassificationPipeline]],
    **rest: Any,
) -> Node:
    steps = read_steps(pipeline, f'{path}.pipeline', training, STEPS[language])
    if isinstance(data_prefix, Node):
        data_prefix = read(_prefix, data_prefix, f'{path}.data_prefix')
    if metainfo is not None:
        one = f'{path}.metainfo has them: keep one'
        check(classes is None or 'classes' not in metainfo, f'{path}.classes', one)
        classes = classes or read(metainfo_classes, metainfo, f'{path}.metainfo')
    given = {
        key: value
        for key, value in dict(
            data_root=data_root, data_prefix=data_prefix, ann_file=ann_file, classes=classes
        ).items()
        if value
    }
    node = Node(path, rest, type=type, test_mode=not training, transforms=steps.transforms, **given)
    found.append((node, steps))
    return node


def _prefix(path: str, *, img_path: str = '') -> str:
    return img_path


def metainfo_classes(path: str, *, classes: Any = None, palette: Any = None) -> Any:
    return classes
