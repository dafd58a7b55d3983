"""Lower train, val and test of both OpenMMLab languages, for every task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hrdet.config.lower.data import read_dataset
from hrdet.config.lower.transforms import ThreeNumbers
from hrdet.config.node import Node, check, check_typed
from hrdet.ranges import Count, Natural
from hrdet.registry import ConfigError, check_value, is_custom, nearest

# Lowers a data set without wrappers: (section, training=whether it is for training) -> node.
LowerDataset = Callable[..., Node]


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
        plain = partial(lower_dataset, training=split.training)
        found[name] = Node(
            split.path.removesuffix('.dataset'),
            dataset=read_dataset(split.dataset, split.path, split.training, plain),
            batch_size=split.batch_size,
            num_workers=split.num_workers,
        )
        if split.evaluator is not None:
            found[name]['evaluator'] = split.evaluator
    return found


def norm_node(path: str, mean: Any, std: Any, to_rgb: bool) -> Node:
    """The node ``Preprocess`` for images that are not padded (size_divisor 1)."""
    for name, values in (('mean', mean), ('std', std)):
        check_value(values, ThreeNumbers, f'{path}.{name}')
    order = 'rgb' if to_rgb else 'bgr'
    values = dict(mean=tuple(mean), std=tuple(std), channel_order=order, size_divisor=1)
    return Node(path, type='Preprocess', **values)


def has_reader(step: Any, path: str, readers: Mapping[str, Any], task: str) -> bool:
    """Whether a step of a pipeline has a reader; a transform of the user has none.

    Raises:
        ConfigError: hrdet has no such step.
    """
    kind = check_typed(step, path)['type']
    if kind not in readers and not is_custom(kind):
        raise ConfigError(
            f'{step.path}.type: hrdet has no step {kind!r} of {task}{nearest(kind, readers)}; '
            f'supported: {", ".join(readers)}'
        )
    return kind in readers


def check_disk(path: str, file_client_args: Node | None) -> None:
    """Raise a ConfigError unless a step reads files from disk."""
    disk = file_client_args in (None, dict(backend='disk'))
    only = "files are read from folders, zips and tars: dict(backend='disk')"
    check(disk, f'{path}.file_client_args', only)


def as_views(path: str, views: list[list[Node]]) -> list[Node]:
    """Transforms of a test that takes every view of an image."""
    return views[0] if len(views) == 1 else [Node(path, type='AugmentedViews', views=views)]


def tta_node(path: str, views: list[list[Node]]) -> Node:
    """A split's ``tta`` (see ``RunConfig``) from the transforms of each view."""
    text = f'{len(views)} views of each image, those of {path.partition("[")[0]}'
    return Node(path, transforms=as_views(path, views), description=text)
