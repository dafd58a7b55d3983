"""Image classification in both OpenMMLab languages: model, data sets and accuracy."""

from typing import Any, Literal

from hrdet.config.lower.backbone import read_backbone
from hrdet.config.lower.classification_steps import STEPS
from hrdet.config.lower.data import Splits, common_classes, common_norm, lower_split
from hrdet.config.lower.transforms import Pipeline, read_steps, tta_node
from hrdet.config.node import Node, check, check_choice, check_typed, read, without_none
from hrdet.ranges import Count, Fraction, Positive

_CONFIG = 'configs/hrnet/hrnet-w18_4xb32_in1k.py'
_NECKS = ('HRFuseScales', 'GlobalAveragePooling')
_DATASETS = ('ImageNet', 'CustomDataset')


def lower_classification(
    model: Node, splits: Splits, norm: Node | None, language: str
) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data.

    Args:
        model: the section ``model``.
        splits: train, val and test, as far as the config has them.
        norm: a node ``Preprocess``, or None where the pipelines contain ``Normalize``.
        language: 'openmmlab1' or 'openmmlab2', which name the steps of pipelines differently.
    """
    # 1. The data sets; their pipelines are kept to compare normalisation and classes below.
    pipelines: list[tuple[Node, Pipeline]] = []

    def lower_dataset(section: Node, training: bool) -> Node:
        check_choice(section['type'], _DATASETS, f'{section.path}.type')
        context = dict(training=training, language=language, pipelines=pipelines)
        return read(_dataset, section, section.path, **context)

    lowered = {name: lower_split(name, split, lower_dataset) for name, split in splits.items()}
    for name, split in splits.items():
        if split.get('tta') is not None:
            path = split['tta'][0][0].path
            views = [_pipeline(steps, path, False, language).transforms for steps in split['tta']]
            lowered[name]['tta'] = tta_node(path, views)
    # 2. One normalisation and one list of classes for all of them, because there is one model.
    norms = [pipeline.norm for _, pipeline in pipelines if pipeline.norm is not None]
    check(norm is not None or norms, 'data', "no pipeline has a step dict(type='Normalize', ...)")
    norm = norm or common_norm(norms)
    classes = common_classes([node for node, _ in pipelines])
    model = read(_classifier, model, 'model', preprocess=norm)
    # 3. A file of class names is left to the data set, which reads it.
    named = isinstance(classes, tuple)
    return dict(model=model, classes=classes if named else None, **lowered)


def _pipeline(steps: Any, path: str, training: bool, language: str) -> Pipeline:
    result = Pipeline(training)
    read_steps(result, steps, path, STEPS[language])
    return result


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
    """The node of a classifier; ``initial_weights`` has removed the names of its weights."""
    backbone = read_backbone(backbone, f'{path}.backbone', _CONFIG, norm_eval=False)
    necks = list(neck) if isinstance(neck, (list, tuple)) else [neck]
    for section in necks:
        check_typed(section, f'{path}.neck')
        check_choice(section['type'], _NECKS, f'{section.path}.type')
    batch = {} if train_cfg is None else read(_train_cfg, train_cfg, f'{path}.train_cfg')
    # One kind of head: a global pool is part of the neck.
    kind = check_typed(head, f'{path}.head')['type']
    check_choice(kind, ('LinearClsHead',), f'{path}.head.type')
    return Node(
        path,
        type=type,
        preprocess=preprocess,
        backbone=backbone,
        neck=[without_none(section, 'init_cfg', 'conv_cfg') for section in necks],
        head=read(_head, head, f'{path}.head'),
        **batch,
    )


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
    """``topk`` and ``cal_acc`` have no effect: hrdet logs no accuracy of training batches."""
    arguments: dict[str, Any] = {}
    if loss is not None:
        kind = check_typed(loss, f'{path}.loss')['type']
        check_choice(kind, _LOSSES, f'{path}.loss.type')
        arguments = read(_LOSSES[kind], loss, f'{path}.loss')
    # The initialisation is fixed, so that its usual description in configs is accepted.
    if init_cfg is not None:
        wanted = dict(type='Normal', layer='Linear', std=0.01)
        only = f'only {wanted} exists, which is the default: leave it out'
        check(init_cfg == wanted, f'{path}.init_cfg', only)
    return Node(path, type=type, num_classes=num_classes, in_channels=in_channels, **arguments)


def _cross_entropy(
    path: str, *, type: str, loss_weight: Positive = 1.0, use_soft: bool = False
) -> dict[str, Any]:
    """``use_soft`` has no effect: the loss takes labels (N,) and soft labels (N, K)."""
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
    """Mixup and CutMix; one of them is drawn for each batch."""
    rows = augments if isinstance(augments, (list, tuple)) else [augments] if augments else []
    even = 'each is drawn as often as the others: leave it out'
    shares = [1 / len(rows) for _ in rows]
    check(probs is None or list(probs) == shares, f'{path}.probs', even)
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


def accuracy(
    path: str,
    *,
    type: Literal['Accuracy'],
    topk: Count | list[Count] = (1,),
    thrs: Any = 0.0,
) -> Node:
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


def _metric_options(
    path: str, *, topk: Count | list[Count] = (1, 5), thrs: Any = None
) -> dict[str, Any]:
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
    pipelines: list[tuple[Node, Pipeline]],
    **rest: Any,
) -> Node:
    steps = _pipeline(pipeline, f'{path}.pipeline', training, language)
    if isinstance(data_prefix, Node):
        data_prefix = read(_prefix, data_prefix, f'{path}.data_prefix')
    if metainfo is not None:
        one = f'{path}.metainfo has them: keep one'
        check(classes is None or 'classes' not in metainfo, f'{path}.classes', one)
        classes = classes or read(metainfo_classes, metainfo, f'{path}.metainfo')
    # An empty string means the same as a missing key, and is left to the data set's default.
    given = {
        key: value
        for key, value in dict(
            data_root=data_root, data_prefix=data_prefix, ann_file=ann_file, classes=classes
        ).items()
        if value
    }
    node = Node(path, rest, type=type, test_mode=not training, transforms=steps.transforms, **given)
    pipelines.append((node, steps))
    return node


def _prefix(path: str, *, img_path: str = '') -> str:
    return img_path


def metainfo_classes(path: str, *, classes: Any = None, palette: Any = None) -> Any:
    return classes
