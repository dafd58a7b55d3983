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

# The modules of the names that ``from hrdet import ...`` loads: most of them import torch.
_API = {
    'hrdet.apis': (
        'get_model',
        'inference_detector',
        'inference_model',
        'inference_segmentor',
        'init_detector',
        'init_model',
        'init_segmentor',
        'list_models',
    ),
    'hrdet.checkpoints': ('CheckpointError', 'load_checkpoint'),
    'hrdet.config': ('load_config',),
    'hrdet.data': ('DataError',),
    'hrdet.data.inputs': ('read_image',),
    'hrdet.inference': (
        'ClassificationResult',
        'DetectionResult',
        'Results',
        'SegmentationResult',
    ),
    'hrdet.registry': ('ConfigError',),
    'hrdet.training_run': ('TrainingRun', 'train'),
    'hrdet.visualize': ('draw', 'save_picture'),
}
_MODULES = {name: module for module, names in _API.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
