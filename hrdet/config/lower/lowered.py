"""The lowered language: a RunConfig written as a config file, and read back."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal

from hrdet.config.dump import as_text
from hrdet.config.node import Node, as_nodes, check_typed, read
from hrdet.config.run_config import RunConfig, Runtime, Training
from hrdet.ranges import Count, Natural

KEYS = ('model', 'classes', 'train', 'val', 'test', 'training', 'runtime', 'on_bad_image')


def read_config(config: dict[str, Any]) -> RunConfig:
    """Read a config in this language."""
    named = ('custom_imports', 'work_dir')
    run = read(_read, as_nodes({k: v for k, v in config.items() if k not in named}), 'config')
    run.runtime.work_dir = run.runtime.work_dir or config.get('work_dir')
    return run


def lowered_text(run: RunConfig, custom_imports: Mapping[str, Any] | None = None) -> str:
    """A config file in this language, with the original path of each part as a comment."""
    values: dict[str, Any] = {'language': 'lowered'}
    if custom_imports:
        values['custom_imports'] = custom_imports
    return as_text(values | _settings(run))


def _read(
    path: str,
    *,
    model: Node,
    classes: Any = None,
    train: Node | None = None,
    val: Node | None = None,
    test: Node | None = None,
    training: Node | None = None,
    runtime: Node | None = None,
    on_bad_image: Literal['error', 'skip'] | None = None,  # as in the other languages
) -> RunConfig:
    runtime = Node('runtime', runtime or {})
    if on_bad_image is not None:
        runtime['on_bad_image'] = on_bad_image
    for name, split in dict(train=train, val=val, test=test).items():
        if split is not None:
            read(_read_split, split, name)
            split.setdefault('batch_size', 1)
    return RunConfig(
        model=check_typed(model, 'model'),
        classes=None if classes is None else tuple(classes),
        train=train,
        val=val,
        test=test,
        training=None if training is None else read(Training, training, 'training'),
        runtime=read(Runtime, runtime, 'runtime'),
    )


def _read_split(
    path: str,
    *,
    dataset: Node,
    batch_size: Count = 1,
    num_workers: Natural = 2,
    pad_size: tuple[Count, Count] | None = None,
    size_divisor: Count = 1,
    evaluator: Node | None = None,
    tta: dict[str, Any] | None = None,
) -> None:
    """Check the keys of ``train``, ``val`` or ``test``, and the arguments of the loader."""


def _settings(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults; warnings aside."""
    # Defaults are left out, so that the output shows what the config decides.
    found = {}
    for field in fields(value):
        default = field.default if field.default_factory is MISSING else field.default_factory()
        item = getattr(value, field.name)
        if field.name != 'warnings' and item != default:
            found[field.name] = _settings(item) if isinstance(item, (Training, Runtime)) else item
    return found
