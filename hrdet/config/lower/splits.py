"""Lower train, val and test of both OpenMMLab languages, for every task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hrdet.config.lower.data import common_value
from hrdet.config.lower.transforms import ThreeNumbers
from hrdet.config.node import Node, check, check_typed, read
from hrdet.ranges import Count, Natural
from hrdet.registry import check_value

# Lowers a data set without wrappers: (section, whether it is for training) -> node.
LowerDataset = Callable[[Node, bool], Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One of train, val and test before it is lowered."""

    training: bool
    dataset: Any  # a node, or a list of them
    path: str  # of the data set
    batch_size: Count = 1
    num_workers: Natural = 2
    evaluator: Node | None = None  # already lowered
    tta: list[list[Node]] | None = None  # of the test: the steps of each view


def lower_splits(splits: dict[str, Split], lower_dataset: LowerDataset) -> dict[str, Node]:
    """The arguments ``train``, ``val`` and ``test`` of ``RunConfig``."""
    found = {}
    for name, split in splits.items():
        found[name] = Node(
            split.path.removesuffix('.dataset'),
            dataset=_dataset(split.dataset, split.path, split.training, lower_dataset),
            batch_size=split.batch_size,
            num_workers=split.num_workers,
        )
        if split.evaluator is not None:
            found[name]['evaluator'] = split.evaluator
    return found


def _dataset(section: Any, path: str, training: bool, lower_dataset: LowerDataset) -> Node:
    context = dict(training=training, lower_dataset=lower_dataset)
    if isinstance(section, (list, tuple)):
        return _concatenated(path, type='ConcatDataset', datasets=section, **context)
    wrapper = _WRAPPERS.get(check_typed(section, path)['type'])
    if wrapper is None:
        return lower_dataset(section, training)
    check(training, path, 'an evaluation takes one data set as it is')
    return read(wrapper, section, path, **context)


def _repeated(path: str, *, type: str, dataset: Any, times: Count, **context: Any) -> Node:
    dataset = _dataset(dataset, f'{path}.dataset', **context)
    return Node(path, type=type, dataset=dataset, times=times)


def _balanced(path: str, *, type: str, dataset: Any, oversample_thr: float, **context: Any) -> Node:
    dataset = _dataset(dataset, f'{path}.dataset', **context)
    return Node(path, type=type, dataset=dataset, oversample_thr=oversample_thr)


def _concatenated(
    path: str, *, type: str, datasets: Any, training: bool, lower_dataset: LowerDataset
) -> Node:
    check(training, path, 'an evaluation takes one data set, not a list')
    nodes = [
        _dataset(section, getattr(section, 'path', f'{path}[{i}]'), training, lower_dataset)
        for i, section in enumerate(datasets)
    ]
    check(bool(nodes), path, 'the list of data sets is empty')
    return nodes[0] if len(nodes) == 1 else Node(path, type=type, datasets=nodes)


_WRAPPERS = {
    'RepeatDataset': _repeated,
    'ClassBalancedDataset': _balanced,
    'ConcatDataset': _concatenated,
}


def norm_node(path: str, mean: Any, std: Any, to_rgb: bool) -> Node:
    """The node ``Preprocess`` for images that are not padded (size_divisor 1)."""
    for name, values in (('mean', mean), ('std', std)):
        check_value(values, ThreeNumbers, f'{path}.{name}')
    order = 'rgb' if to_rgb else 'bgr'
    values = dict(mean=tuple(mean), std=tuple(std), channel_order=order, size_divisor=1)
    return Node(path, type='Preprocess', **values)


def common_norm(norms: list[Node]) -> Node:
    """The node ``Preprocess`` that all data sets share."""
    wrong = '{{}} and {{}} differ in {} ({{}} and {{}}), but the model normalises all images alike'
    for name in ('mean', 'std', 'channel_order'):
        common_value([(norm.path, norm[name]) for norm in norms], wrong.format(name))
    return norms[0]


def check_disk(path: str, file_client_args: Node | None) -> None:
    """Raise a ConfigError unless a step reads files from disk."""
    disk = file_client_args in (None, dict(backend='disk'))
    only = "files are read from folders, zips and tars: dict(backend='disk')"
    check(disk, f'{path}.file_client_args', only)


def tta_node(path: str, views: list[list[Node]]) -> Node:
    """A split's ``tta`` (see ``RunConfig``) from the transforms of each view."""
    transforms = [Node(path, type='AugmentedViews', views=views)] if len(views) > 1 else views[0]
    text = f'{len(views)} views of each image, those of {path.partition("[")[0]}'
    return Node(path, transforms=transforms, description=text)
