"""Names and colours of a model's classes: from its checkpoint, its config or its data set."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from hrdet.checkpoints import saved_classes, saved_palette
from hrdet.config import RunConfig
from hrdet.data.errors import MissingDataError
from hrdet.registry import ConfigError, build, registered

Palette = tuple[tuple[int, int, int], ...]  # (R, G, B) of each class

_logger = logging.getLogger('hrdet')


def classes_of(
    run: RunConfig,
    content: Mapping[str, Any] | None,
    other_classes: bool = False,
    name: str = 'state_dict',
) -> tuple[tuple[str, ...], Palette | None]:
    """Names of the labels, and their colours if any are defined.

    Args:
        run: the config.
        content: of the checkpoint; None: there is none.
        other_classes: the config's number of classes counts, and not the checkpoint's.
        name: what messages call the checkpoint.
    """
    # 1. The checkpoint has names, or at least their number.
    configured = next(class_counts(run.model), None)
    saved = None if content is None else saved_classes(content, name)
    if other_classes and configured not in (None, _number(saved)):
        content = saved = None
    count = configured if saved is None else _number(saved)
    # 2. The config and its data set state names and colours without any file.
    node = test_data(run)[1]
    stated, palette = registered(node['type'], node.path).stated_classes(**node)
    names = (saved if isinstance(saved, tuple) else None) or run.classes
    if not names and count in (None, len(stated or ())):
        names = stated
    # 3. Else the data set is read, or labels are numbers.
    if not names and other_classes and count:
        names = tuple(map(str, range(count)))
    if not names:
        names, palette = _from_data(run, count)
    colours = (content and saved_palette(content)) or palette
    return names, colours if colours and len(colours) == len(names) else None


def test_data(run: RunConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The loader's arguments and the data set with transforms for test, else for validation."""
    for split in (run.test, run.val):  # the transforms of training are random
        for node in _nodes(split):
            if 'transforms' in node:
                return split, node
    raise ConfigError('data.test: how to prepare images is read from it (or data.val); add it')


def _from_data(run: RunConfig, count: int | None) -> tuple[tuple[str, ...], Palette | None]:
    # Reading the data set may fail: a downloaded model is used without its training data.
    try:
        dataset = build(test_data(run)[1])
    except ConfigError as error:
        if not isinstance(error.__cause__, MissingDataError):
            raise
        if count is None:
            raise ConfigError(
                f'{error}. Or write classes=(...) with the names of the classes into the config'
            ) from error
        _logger.warning(
            'neither the checkpoint nor the config names the classes, so labels are shown as '
            'numbers: write classes=(...) with the names of all %d into the config (%s)',
            count,
            error,
        )
        return tuple(map(str, range(count))), None
    return dataset.classes, dataset.palette


def _number(saved: tuple[str, ...] | int | None) -> int | None:
    return len(saved) if isinstance(saved, tuple) else saved


def class_counts(model: dict[str, Any]) -> Iterator[int]:
    """The numbers of classes that the parts of a lowered model state."""
    return (node['num_classes'] for node in _nodes(model) if node.get('num_classes'))


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All dicts of a tree, outer ones first."""
    if isinstance(value, dict):
        yield value
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return
    for item in value:
        yield from _nodes(item)
