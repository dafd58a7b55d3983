"""Data sets and loaders of train, val and test; detection data sets with their transforms."""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from hrdet.config.lower.pipeline import from_steps
from hrdet.config.lower.transforms import Context, DetectionPipeline, from_keys
from hrdet.config.node import Node, check, check_typed, keys_of, read
from hrdet.registry import ConfigError, check_keys, is_custom

_NAMES = {'skip_img_without_anno': 'filter_empty', 'semantic_scale_factor': 'seg_scale_factor'}
_FILES = ('ann_file', 'img_prefix', 'seg_prefix', 'proposal_file')
# The data sets lowered so far, each with its pipeline, which has settings for the model.
_Lowered = list[tuple[Node, DetectionPipeline]]


# ``train``, ``val`` and ``test`` before their data sets are lowered, in every language and for all
# tasks: arguments of the loader, ``evaluator``, and in ``tta`` the steps of each view.  The path of
# each is that of its data set.
Splits = dict[str, Node]
LowerDataset = Callable[[Node, bool], Node]  # (section, whether it is for training)


def lower_split(name: str, split: Node, lower_dataset: LowerDataset) -> Node:
    """The split ``name`` with its data set lowered.

    ``lower_dataset(section, training)`` lowers one without a wrapper.
    """
    dataset = read_dataset(split['dataset'], split.path, name == 'train', lower_dataset)
    return split.replaced(dataset=dataset)


def lower_detection_data(
    splits: Splits, context: Context
) -> tuple[Splits, Node, tuple[str, ...] | None, bool | None]:
    """Lower the data of a detector.

    Returns:
        The splits, the model's node ``Preprocess``, the class names, and whether the training set
        has semantic maps (None: there is no training set).
    """
    check(bool(splits), 'data', 'there is none of train, val and test')
    # 1. Lower each split; ``lowered`` collects the data sets of all of them.
    nodes: Splits = {}
    lowered: _Lowered = []
    for name, split in splits.items():
        first = len(lowered)
        nodes[name] = lower_split(name, split, partial(_dataset, context=context, lowered=lowered))
        divisors = [pipeline.size_divisor for _, pipeline in lowered[first:]]
        nodes[name] |= dict(pad_size=split.get('pad_size'), size_divisor=max(divisors, default=1))
    # 2. What they must agree on, because one model serves all of them.
    divisor = max(pipeline.size_divisor for _, pipeline in lowered)
    preprocess = common_norm([pipeline.norm for _, pipeline in lowered])
    names = common_classes([node for node, _ in lowered])
    has_maps = common_value(
        [(node.path, pipeline.semantic) for node, pipeline in lowered if not node['test_mode']],
        '{} and {}: one has semantic maps (seg_prefix), the other has none; a model learns '
        'from both kinds of images only without its semantic_head',
    )
    return nodes, preprocess.replaced(size_divisor=divisor), names, has_maps


def common_value(values: list[tuple[str, Any]], message: str) -> Any:
    """The value that all (path, value) pairs share, or None for an empty list."""
    for path, value in values[1:]:
        if value != values[0][1]:
            raise ConfigError(message.format(values[0][0], path, values[0][1], value))
    return values[0][1] if values else None


def common_classes(datasets: list[Node]) -> Any:
    """The class names of all data sets that name theirs; None if none does."""
    return common_value(
        [(f'{node.path}.classes', node['classes']) for node in datasets if 'classes' in node],
        '{} and {} differ, but a model has one list of classes: {} and {}',
    )


def common_norm(norms: list[Node]) -> Node:
    """The node ``Preprocess`` that all data sets share."""
    wrong = '{{}} and {{}} differ in {} ({{}} and {{}}), but the model normalises all images alike'
    for name in ('mean', 'std', 'channel_order'):
        common_value([(norm.path, norm[name]) for norm in norms], wrong.format(name))
    return norms[0]


def read_dataset(section: Any, path: str, training: bool, plain: LowerDataset) -> Node:
    """A data set; ``plain`` lowers one without a wrapper.  A list of them is joined into one."""
    if isinstance(section, (list, tuple)):
        return _joined(section, path, training, plain)
    wrapper = _WRAPPERS.get(check_typed(section, path)['type'])
    if wrapper is None:
        return plain(section, training)
    check(training, path, 'an evaluation takes one data set as it is')
    return read(wrapper, section, path, training=training, plain=plain)


def _joined(sections: Any, path: str, training: bool, plain: LowerDataset) -> Node:
    check(training, path, 'an evaluation takes one data set, not a list')
    check(bool(sections), path, 'the list of data sets is empty')
    nodes = [
        read_dataset(section, getattr(section, 'path', f'{path}[{i}]'), training, plain)
        for i, section in enumerate(sections)
    ]
    return nodes[0] if len(nodes) == 1 else Node(path, type='ConcatDataset', datasets=nodes)


def _wrapped(path, *, type, dataset, training, plain, **rest):
    dataset = read_dataset(dataset, f'{path}.dataset', training, plain)
    return Node(path, rest, type=type, dataset=dataset)


def _concatenated(path, *, type, datasets, training, plain):
    return read_dataset(datasets, f'{path}.datasets', training, plain)


def _dataset(section: Node, training: bool, context: Context, lowered: _Lowered) -> Node:
    path, context = section.path, replace(context, training=training)
    if isinstance(section.get('ann_file'), (list, tuple)):
        plain = partial(_dataset, context=context, lowered=lowered)
        return _joined(_parts(section, path), path, training, plain)
    for other, name in _NAMES.items():
        twice = other in section and name in section
        check(not twice, f'{path}.{other}', f'another name of {name}; keep one')
    section = Node(path, **{_NAMES.get(key, key): value for key, value in section.items()})
    if section['type'] == 'CocoZipDataset':
        context = replace(context, zipped=True)
    # 1. The image keys in either form: the steps of mmdetection 1.x, or the keys of 2019.
    form = from_steps if 'pipeline' in section else from_keys
    keys = keys_of(form, ['context'])
    if form is from_steps:  # keys of the other form are errors beside it
        settled = {*keys_of(from_keys, ['context'])} - {*keys}
        check_keys([key for key in section if key in settled], keys, path)
    elif context.semantics and section.get('seg_prefix') is not None:
        maps = dict(with_semantic_seg=True, seg_scale_factor=1 / context.semantics[0])
        section = Node(path, **maps | section)
    # 2. The transforms; the rest are arguments of the data set.
    pipeline = read(form, section, path, context=context)
    if context.zipped:
        pipeline.norm['channel_order'] = 'rgb'
    check(
        not (context.training and context.masks) or pipeline.dataset.get('with_mask', False),
        path,
        'with_mask is False, but model.mask_head learns from masks: with_mask=True (in a '
        'pipeline, of the step LoadAnnotations)',
    )
    arguments = _arguments(pipeline.rest, path, context)
    if pipeline.semantic:
        _settle_maps(pipeline, arguments, path, context)
    else:
        arguments.pop('seg_prefix', None)
    # 3. The node, with what the pipeline decides about the data set.
    given = dict(test_mode=not context.training, transforms=pipeline.transforms)
    if context.masks and not context.training:  # for pictures of the truth
        given['with_mask'] = True
    if context.convention != 'inclusive':
        given['box_convention'] = context.convention
    node = Node(path, arguments, **pipeline.dataset, **given)
    node.names = (*keys, 'data_root')
    lowered.append((node, pipeline))
    return node


def _arguments(rest: dict[str, Any], path: str, context: Context) -> dict[str, Any]:
    """The keys of a data set that do not concern images, with ``data_root`` joined to paths."""
    root, classes = rest.pop('data_root', None), rest.pop('classes', None)
    rest.pop('test_mode', None)
    for key in _FILES:
        if rest.get(key) is None:
            rest.pop(key, None)
        elif root is not None:
            rest[key] = os.path.join(root, rest[key])
    classes = context.classes if classes is None else classes
    named = {} if classes is None else dict(classes=_class_names(classes, f'{path}.classes'))
    return rest | named


def _settle_maps(
    pipeline: DetectionPipeline, arguments: dict[str, Any], path: str, context: Context
) -> None:
    """Check that semantic maps exist where the pipeline loads them, in the scale of the head."""
    # The head's output has a stride: the maps must come in that scale, from one SegRescale.
    pipeline.semantic = 'seg_prefix' in arguments
    stride, labels = context.semantics or (None, None)
    check(stride or pipeline.semantic, f'{path}.seg_prefix', 'this key is required for its maps')
    if stride and pipeline.semantic:
        steps = [step for step in pipeline.transforms if step['type'] == 'SegRescale']
        scale = steps[0].get('scale_factor', 1) if steps else 1
        other = (
            f'semantic maps are scaled by {scale!r}, but those of model.semantic_head have '
            f'stride {stride}: seg_scale_factor=1/{stride} (in a pipeline, '
            f"dict(type='SegRescale', scale_factor=1/{stride}))"
        )
        check(scale == 1 / stride, steps[0].path if steps else path, other)
        if not is_custom(arguments['type']):
            arguments['semantic_classes'] = labels


def _parts(section: Node, path: str) -> list[Node]:
    """One section for each annotation file; other files are given once, or once for each."""
    count = len(section['ann_file'])
    parts = []
    for i in range(count):
        part = Node(path, **section)
        for key in _FILES:
            if isinstance(section.get(key), (list, tuple)):
                same = len(section[key]) == count
                message = f'{len(section[key])} entries, but {count} annotation files'
                check(same, f'{path}.{key}', message)
                part[key] = section[key][i]
        parts.append(part)
    return parts


def _class_names(classes: Any, path: str) -> tuple[str, ...]:
    check(
        not isinstance(classes, str),
        path,
        f'must be a tuple of names; for one class write ({classes!r},) with the comma',
    )
    names = isinstance(classes, (list, tuple)) and all(isinstance(c, str) for c in classes)
    check(names and bool(classes), path, f'must be a tuple of names, not {classes!r}')
    twice = sorted({name for name in classes if classes.count(name) > 1})
    check(not twice, path, f'these names appear twice: {", ".join(twice)}')
    return tuple(classes)


_WRAPPERS = {
    'RepeatDataset': _wrapped,
    'ClassBalancedDataset': _wrapped,
    'ConcatDataset': _concatenated,
}
