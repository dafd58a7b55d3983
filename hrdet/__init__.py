"""hrdet: HRNet for detection, classification and segmentation, driven by config files."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 10):  # noqa: UP036  (older ones read no further)
    raise SystemExit(
        'error: hrdet needs Python 3.10 or newer; this is '
        f'{sys.version.split()[0]}, {sys.executable}'
    )

__version__ = '0.1.0'

if TYPE_CHECKING:  # what type checkers and editors know of the names below
    from hrdet.apis import get_model as get_model
    from hrdet.apis import inference_detector as inference_detector
    from hrdet.apis import inference_model as inference_model
    from hrdet.apis import inference_segmentor as inference_segmentor
    from hrdet.apis import init_detector as init_detector
    from hrdet.apis import init_model as init_model
    from hrdet.apis import init_segmentor as init_segmentor
    from hrdet.apis import list_models as list_models
    from hrdet.checkpoints import CheckpointError as CheckpointError
    from hrdet.checkpoints import load_checkpoint as load_checkpoint
    from hrdet.config import load_config as load_config
    from hrdet.data import DataError as DataError
    from hrdet.data.inputs import read_image as read_image
    from hrdet.inference import ClassificationResult as ClassificationResult
    from hrdet.inference import DetectionResult as DetectionResult
    from hrdet.inference import Results as Results
    from hrdet.inference import SegmentationResult as SegmentationResult
    from hrdet.registry import ConfigError as ConfigError
    from hrdet.training_run import TrainingRun as TrainingRun
    from hrdet.training_run import train as train
    from hrdet.visualize import draw as draw
    from hrdet.visualize import save_picture as save_picture

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
