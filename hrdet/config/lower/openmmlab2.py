"""OpenMMLab 2 (mmdetection 3, mmsegmentation 1.x, mmpretrain): the top level of its configs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from hrdet.config.lower.classification import accuracy, lower_classification
from hrdet.config.lower.data import Splits
from hrdet.config.lower.environment import RUNTIME, lower_runtime
from hrdet.config.lower.mmdet3 import coco_metric, lower_mmdet3
from hrdet.config.lower.mmseg1 import iou_metric, lower_mmseg1
from hrdet.config.lower.nested_detection import DETECTORS
from hrdet.config.lower.openmmlab1 import initial_weights
from hrdet.config.lower.release import check_names, part
from hrdet.config.lower.runner import lower_training
from hrdet.config.lower.transforms import ThreeNumbers, norm_node
from hrdet.config.node import Node, as_nodes, check, check_choice, check_typed, keys_of, read
from hrdet.config.run_config import RunConfig
from hrdet.ranges import Count, Natural
from hrdet.registry import nearest

_TRAINING = keys_of(lower_training, ['warnings'])


def read_config(config: Mapping[str, Any]) -> RunConfig:
    """Lower a config in this language."""
    names = [name for name in config if name not in ('optimizer', 'vis_backends')]
    warnings = check_names(names, (*KEYS, 'custom_imports'), 'openmmlab2')
    # Base configs define ``optimizer`` as a variable, and use it in ``optim_wrapper``.
    wrapper = config.get('optim_wrapper')
    wrapped = wrapper.get('optimizer') if isinstance(wrapper, Mapping) else None
    if config.get('optimizer') not in (None, wrapped):
        warnings.append('optimizer: a variable of the config file; training takes optim_wrapper')
    values = as_nodes({key: config[key] for key in KEYS if key in config})
    model = check_typed(values.get('model'), 'model')
    values['model'], pretrained = initial_weights(model, warnings)
    task = read(_task, part(values, _TASK), '')
    warnings += task.pop('warnings', [])
    training = read(lower_training, part(values, _TRAINING), '', warnings=warnings)
    runtime = read(lower_runtime, part(values, RUNTIME), '', pretrained=pretrained)
    return RunConfig(**task, training=training, runtime=runtime, warnings=warnings)


def _task(
    path: str,
    *,
    model: Node,
    data_preprocessor: Node | None = None,
    train_dataloader: Node | None = None,
    val_dataloader: Node | None = None,
    test_dataloader: Node | None = None,
    val_evaluator: Any = None,
    test_evaluator: Any = None,
    val_cfg: Node | None = None,
    test_cfg: Node | None = None,
    tta_model: Node | None = None,
    tta_pipeline: list[Node] | None = None,
) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data."""
    kind = model['type']
    supported = f'there is no model {kind!r}{nearest(kind, _TASKS)}; supported: '
    check(kind in _TASKS, 'model.type', supported + ', '.join(_TASKS))
    task = _TASKS[kind]
    # 1. The splits: data set, loader options, evaluator, and the views of tta_pipeline.
    splits = {}
    for name, section, cfg, evaluator in (
        ('train', train_dataloader, None, None),
        ('val', val_dataloader, val_cfg, val_evaluator),
        ('test', test_dataloader, test_cfg, test_evaluator),
    ):
        if cfg is not None:
            read(_loop, cfg, f'{name}_cfg')
        if section is None:
            continue
        split = read(_dataloader, section, f'{name}_dataloader', training=name == 'train')
        if name != 'train':
            here, needed = f'{name}_evaluator', f'{name}_dataloader needs it: what is measured'
            check(evaluator is not None, here, needed)
            split['evaluator'] = _evaluator(evaluator, here, task.evaluators)
        if name == 'test' and tta_model is not None and tta_pipeline is not None:
            read(_tta_model, tta_model, 'tta_model', task=task, test_cfg=model.get('test_cfg'))
            split['tta'] = _views(tta_pipeline, 'tta_pipeline')
        splits[name] = split
    # 2. The preprocessor, which may stand beside the model; that of the model takes precedence.
    own = model.get('data_preprocessor')
    if own is None:
        model = model.replaced(data_preprocessor=data_preprocessor)
    found = task.lower(model, splits)
    if own is not None and data_preprocessor not in (None, own):
        text = 'data_preprocessor: images are prepared as model.data_preprocessor says, not so'
        found['warnings'] = [*found.get('warnings', ()), text]
    return found


_TASK = keys_of(_task)


def _dataloader(
    path: str,
    *,
    batch_size: Count = 1,
    num_workers: Natural = 0,
    persistent_workers: bool = False,
    pin_memory: bool = False,
    drop_last: bool = False,
    sampler: Node | None = None,
    batch_sampler: Node | None = None,
    collate_fn: Node | None = None,
    dataset: Any,
    training: bool,
) -> Node:
    """Batch size, workers and data set of a split.

    ``persistent_workers`` and ``pin_memory`` have no effect: hrdet always uses both.  Samplers and
    ``collate_fn`` are checked only: training batches are shuffled and have one orientation where
    image sizes are known, and a test takes each image once.
    """
    # Settings that hrdet replaces by its own are read all the same, so that mistakes are found.
    check(not drop_last or training, f'{path}.drop_last', 'a test takes every image: leave it out')
    if sampler is not None:
        read(_sampler, sampler, f'{path}.sampler', training=training)
    if batch_sampler is not None:
        read(_batch_sampler, batch_sampler, f'{path}.batch_sampler')
    if collate_fn is not None:
        read(_collate, collate_fn, f'{path}.collate_fn')
    return Node(f'{path}.dataset', dataset=dataset, batch_size=batch_size, num_workers=num_workers)


def _sampler(
    path: str,
    *,
    type: Literal['DefaultSampler', 'InfiniteSampler'],
    shuffle: bool | None = None,
    seed: int | None = None,
    round_up: bool = True,
    training: bool,
) -> None:
    """Checked only: runs by epochs and by iterations use the same sampler."""
    always = 'training shuffles, and a test does not: leave it out'
    check(shuffle is None or shuffle == training, f'{path}.shuffle', always)


def _batch_sampler(
    path: str, *, type: Literal['AspectRatioBatchSampler'], drop_last: bool = False
) -> None:
    """Checked only: batches have one orientation by default."""


def _collate(path: str, *, type: Literal['default_collate', 'pseudo_collate']) -> None:
    """Checked only: ``hrdet.data.collate`` makes the batches."""


def _loop(
    path: str, *, type: Literal['ValLoop', 'TestLoop'] | None = None, fp16: bool = False
) -> None:
    """Checked only: validation and test loops have no settings."""
    own = 'a test in half precision is --dtype float16 of hrdet test: leave it out'
    check(not fp16, f'{path}.fp16', own)


def _tta_model(
    path: str, *, type: str, tta_cfg: Node | None = None, task: '_Task', test_cfg: Any
) -> None:
    """Checked only: boxes of all views go through one NMS, scores are averaged."""
    check_choice(type, (task.tta,), f'{path}.type')
    # ``tta_cfg`` repeats NMS and limits of the model, which hrdet applies to the merged views.
    merged = test_cfg.get('rcnn', test_cfg) if isinstance(test_cfg, Node) else {}
    for key, value in (tta_cfg or {}).items():
        same = 'views are merged as model.test_cfg says: leave it out'
        check(merged.get(key) == value, f'{path}.tta_cfg.{key}', same)


def _views(steps: Any, path: str) -> list[list[Node]]:
    """``tta_pipeline``: the steps of each view."""
    check(len(steps) > 0, path, 'must be a list of steps, and is empty')
    *before, last = steps
    kind = check_typed(last, f'{path}[{len(before)}]')['type']
    check_choice(kind, ('TestTimeAug',), f'{last.path}.type')
    choices = read(_test_time_aug, last, last.path)
    return [[*before, *view] for view in product(*choices)]


def _test_time_aug(path: str, *, type: str, transforms: list[list[Node]]) -> list[list[Node]]:
    """A list of alternatives for each position; every combination of them is a view."""
    for i, steps in enumerate(transforms):
        for j, step in enumerate(steps):
            check_typed(step, f'{path}.transforms[{i}][{j}]')
    return transforms


def _evaluator(section: Any, path: str, readers: dict[str, Callable[..., Node]]) -> Node:
    """Lower the evaluator, which may be a list of one."""
    if isinstance(section, (list, tuple)):
        one = f'there is one evaluator for a task, not {len(section)}; it measures: '
        check(len(section) == 1, path, one + ', '.join(readers))
        section, path = section[0], f'{path}[0]'
    kind = check_typed(section, path)['type']
    known = f'{kind!r} does not measure this model{nearest(kind, readers)}; there is '
    check(kind in readers, f'{path}.type', known + ', '.join(readers))
    return read(readers[kind], section, path)


@dataclass(frozen=True, slots=True)
class _Task:
    """How to lower models, data and evaluator of one task."""

    lower: Callable[[Node, Splits], dict[str, Any]]
    evaluators: dict[str, Callable[..., Node]]
    tta: str  # the type of ``tta_model``


def _classification(model: Node, splits: Splits) -> dict[str, Any]:
    section = model['data_preprocessor']
    check(section is not None, 'data_preprocessor', 'this key is required')
    norm = read(_cls_preprocessor, section, section.path)
    return lower_classification(model, splits, norm, 'openmmlab2')


def _cls_preprocessor(
    path: str,
    *,
    type: Literal['ClsDataPreprocessor'] = 'ClsDataPreprocessor',
    mean: ThreeNumbers,
    std: ThreeNumbers,
    to_rgb: bool = False,
    num_classes: int | None = None,
    pad_size_divisor: Literal[1] = 1,
    pad_value: Literal[0] = 0,
    to_onehot: bool = False,
    batch_augments: None = None,
) -> Node:
    """``num_classes`` is that of the head; mixup and cutmix make soft labels by themselves."""
    return norm_node(path, mean=mean, std=std, to_rgb=to_rgb)


_TASKS = {
    'EncoderDecoder': _Task(lower_mmseg1, dict(IoUMetric=iou_metric), 'SegTTAModel'),
    'ImageClassifier': _Task(_classification, dict(Accuracy=accuracy), 'AverageClsScoreTTA'),
    **dict.fromkeys(DETECTORS, _Task(lower_mmdet3, dict(CocoMetric=coco_metric), 'DetTTAModel')),
}
KEYS = (*_TASK, *_TRAINING, *RUNTIME, 'default_scope')
