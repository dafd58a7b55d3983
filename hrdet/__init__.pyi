# What type checkers and editors know of the names that __init__.py loads when they are used.

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

__version__: str
