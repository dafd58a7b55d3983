"""From a config file to its values, with overrides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from hrdet.config.keys import KEYS
from hrdet.registry import ConfigError, nearest


def load_config(
    source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read a config: a Python file (``_base_`` inheritance included), or a dict of the same form.

    A config file is a program: loading one runs it, with the modules of its ``custom_imports``.

    ``overrides`` are values by dotted path, ``{'data.imgs_per_gpu': 4}``; a number in a path counts
    in a list.

    Returns:
        mmengine's Config.  ``work_dir`` is filled with ``./work_dirs/<name of the file>`` where the
        config leaves it out.

    Raises:
        ConfigError: an override of something that is not a config key, or inside something that
            is not a section.  Everything else is checked by ``lower``.
        FileNotFoundError: no such file.
    """
    if isinstance(source, Mapping):
        config = Config(dict(source))
        if config.get('custom_imports'):
            import_modules_from_strings(**config.custom_imports)
    else:
        if not Path(source).is_file():
            raise FileNotFoundError(f'config {str(source)!r}: there is no such file')
        config = Config.fromfile(str(source))
    for path, value in (overrides or {}).items():
        _override(config, path, value)
    if config.get('work_dir') is None:
        name = Path(config.filename).stem if config.filename else ''
        config.work_dir = f'./work_dirs/{name}'.rstrip('/')
    return config


def _override(config: Config, path: str, value: Any) -> None:
    key = path.split('.')[0]
    if key not in KEYS and key in config:
        raise ConfigError(
            f'{path}: a variable of the config file, whose value is already where it is used; '
            f'override that place instead, such as data.train.ann_file'
        )
    if key not in KEYS:
        raise ConfigError(
            f'{path}: there is no such key here{nearest(key, KEYS)} (accepted: {", ".join(KEYS)})'
        )
    try:
        config.merge_from_dict({path: value})
    except (KeyError, TypeError) as error:
        raise ConfigError(f'{path}: cannot be overridden: {error}') from error
