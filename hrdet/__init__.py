"""hrdet: HRNet for detection, classification and segmentation, driven by config files."""

import sys
from importlib import import_module
from typing import Any

if sys.version_info < (3, 10):  # noqa: UP036  (older ones read no further)
    raise SystemExit(
        'error: hrdet needs Python 3.10 or newer; this is '
        f'{sys.version.split()[0]}, {sys.executable}'
    )

__version__ = '0.1.0'

# Names that ``from hrdet import ...`` loads from hrdet.apis, which imports torch.
_API = (
    'get_model',
    'inference_detector',
    'inference_model',
    'inference_segmentor',
    'init_detector',
    'init_model',
    'init_segmentor',
    'list_models',
)


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module('hrdet.apis'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return [*globals(), *_API]
