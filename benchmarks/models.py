"""Whole detectors, on both sides with the same weights and files: what the subjects run.

The functions of hrdet are called in its worker, those whose name begins with ``mmdet`` in the
peer's.  Weights go both ways: hrdet exports its random ones in mmdetection 3's layout, mmdetection
loads and saves them, and hrdet loads that file.
"""

import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Options, has_peer
from benchmarks.worker import ROOT, Worker

CLASSES = tuple(f'class {i}' for i in range(80))
CONFIGS = ROOT / 'configs' / 'hrnet' / 'continuous'
SMALL = ((120, 182), [333, 200])  # (h, w) of image files, and the scale they are brought to
# Random weights by part of their names: such that boxes and scores are as plain as trained ones',
# and rounding is not blown up by logits of 50 or boxes that cover everything.
_SCALES = {'neck.': 0.3, 'rpn_reg': 0.3, 'conv_reg': 0.3}
_BIASES = {'conv_reg': 3.0, 'bbox_head.conv_cls': -2.0}
# The configs have the names of mmdetection's.
FASTER = 'faster-rcnn_hrnetv2p-w18-1x_coco'
MASK = 'mask-rcnn_hrnetv2p-w18-1x_coco'
HTC = 'htc_hrnetv2p-w18_20e_coco'
FAMILIES = (
    FASTER,
    MASK,
    'cascade-rcnn_hrnetv2p-w18-20e_coco',
    'cascade-mask-rcnn_hrnetv2p-w18_20e_coco',
    HTC,
    'fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco',
)


def make_data(options: Options, size: tuple[int, int], count: int = 8) -> dict[str, str]:
    """Images of ``size`` (h, w) with shapes on them, as COCO data of 80 classes; its paths."""
    from hrdet.data.shapes import make_shapes

    folder = options.folder / 'x'.join(map(str, size))
    if not folder.exists():
        paths = make_shapes(str(folder), count, 0, size)
        content = json.loads(Path(paths.train_ann).read_text())
        ids = {old['id']: new + 1 for new, old in enumerate(content['categories'])}
        for annotation in content['annotations']:
            annotation['category_id'] = ids[annotation['category_id']]
        content['categories'] = [{'id': i + 1, 'name': name} for i, name in enumerate(CLASSES)]
        Path(paths.train_ann).write_text(json.dumps(content))
    return {
        'annotations': str(folder / 'annotations' / 'instances_train.json'),
        'images': str(folder / 'train'),
        'maps': str(folder / 'stuffthingmaps' / 'train'),
    }


def image_files(data: dict[str, str], count: int) -> list[str]:
    """The first images of ``make_data``, again from the first where there are too few."""
    files = sorted(map(str, Path(data['images']).glob('*.jpg')))
    return [files[i % len(files)] for i in range(count)]


def make_weights(options: Options, name: str) -> dict[str, str]:
    """The files of a config's weights: for hrdet, and for the peer in its own layout."""
    made = options.folder / f'{name}.pth'
    ours, theirs = made.with_suffix('.mmdet3.pth'), made.with_suffix('.resaved.pth')
    if not ours.exists():
        with Worker(sys.executable) as worker:
            _call(worker, 'export_weights', config=str(CONFIGS / f'{name}.py'), path=str(ours))
    if not has_peer(options, 'mmdetection'):
        return {'hrdet': str(ours)}
    if not theirs.exists():
        with Worker(options.peer_python) as worker:
            config = _peer_config(options, name)
            _call(worker, 'mmdet_resave', config=config, source=str(ours), target=str(theirs))
    return {'hrdet': str(theirs), 'mmdetection': str(ours)}


def arguments(options: Options, name: str, **shared: Any) -> tuple[dict, dict]:
    """What ``load_hrdet`` and ``load_mmdet`` need for a config, with ``shared`` ones."""
    weights = make_weights(options, name)
    shared['device'] = options.device
    ours = dict(config=str(CONFIGS / f'{name}.py'), weights=weights['hrdet'])
    theirs = dict(config=_peer_config(options, name), weights=weights.get('mmdetection'))
    return ours | shared, theirs | shared


def _peer_config(options: Options, name: str) -> str:
    """mmdetection's config: a file, or the name by which the peer finds it in its package."""
    return str(Path(options.peer_configs, 'hrnet', f'{name}.py')) if options.peer_configs else name


def _call(worker: Worker, function: str, **arguments: Any) -> Any:
    return worker.ask('call', function=f'{__name__}:{function}', arguments=arguments)


def export_weights(
    config: str, path: str, layout: str = 'mmdet3', classes: Sequence[str] = CLASSES
) -> None:
    """Well-scaled random weights, each of its name and shape alone, in a layout of ``export``.

    hrdet's own file lies beside it, with the suffix ``.own.pth``.
    """
    import torch

    from hrdet.checkpoints import export, save_checkpoint
    from hrdet.config import load_config, lower
    from hrdet.models import build_model

    # The semantic branch of HTC is built where there are maps to learn from.
    model = build_model(lower(load_config(config)), tuple(classes))
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.as_tensor(_random(key, tuple(value.shape))))
    meta = dict(classes=list(classes))
    if layout == 'mmdet3':
        meta['box_convention'] = 'continuous'
    own = Path(path).with_suffix('.own.pth')
    save_checkpoint(own, dict(state_dict=model.state_dict(), meta=meta))
    export(own, path, layout=layout)


def exported(options: Options, name: str, layout: str, num_classes: int) -> str:
    """A file of the random weights of ``configs/hrnet/<name>.py`` in a layout of ``export``."""
    path = options.folder / f'{name}.{layout}.pth'
    if not path.exists():
        classes = [f'class {i}' for i in range(num_classes)]
        config = str(ROOT / 'configs' / 'hrnet' / f'{name}.py')
        with Worker(sys.executable) as worker:
            found = dict(config=config, path=str(path), layout=layout, classes=classes)
            _call(worker, 'export_weights', **found)
    return str(path)


def _random(key: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith('running_var'):
        return rng.uniform(0.5, 1.5, shape)
    if key.endswith(('running_mean', 'bias')):
        return rng.normal(0, 0.05, shape) + next((v for k, v in _BIASES.items() if k in key), 0)
    if len(shape) < 2:
        return 0.5 * rng.uniform(0.8, 1.2, shape)
    factor = next((v for k, v in _SCALES.items() if k in key), 1)
    return rng.normal(0, factor * np.sqrt(2 / np.prod(shape[1:])), shape)


def load_hrdet(
    config: str, weights: str, device: str, scale: list[int], optimize: dict[str, Any] | None = None
):
    """A detector by hrdet's public way; ``optimize`` holds arguments of ``optimized``."""
    from hrdet.apis import init_detector

    changes = {'data.val.img_scale': tuple(scale), 'data.test.img_scale': tuple(scale)}
    return optimized(init_detector(config, weights, device, cfg_options=changes), optimize)


def optimized(model: Any, arguments: dict[str, Any] | None) -> Any:
    """The model as it is (None), or its optimized copy by these arguments, the type by its name."""
    import torch

    from hrdet.optimize import optimize

    if arguments is None:
        return model
    if 'dtype' in arguments:
        arguments = arguments | {'dtype': getattr(torch, arguments['dtype'])}
    return optimize(model, **arguments)


def mmdet_config(name: str, scale: list[int]):
    """mmdetection's config by file, or by name from its package, with another image scale."""
    import mmdet
    from mmengine.config import Config

    path = Path(name)
    if not path.suffix:
        path = Path(mmdet.__file__).parent / '.mim' / 'configs' / 'hrnet' / f'{name}.py'
    config = Config.fromfile(path)
    for loader in (config.train_dataloader, config.test_dataloader):
        for step in loader.dataset.pipeline:
            if step.type in ('Resize', 'RandomResize', 'RandomChoiceResize'):
                step.clear()
                step.update(type='Resize', scale=tuple(scale), keep_ratio=True)
            if step.type == 'RandomFlip':
                step.prob = 0.0
    return config


def load_mmdet(config: str, weights: str, device: str, scale: list[int]):
    """The peer's detector, and its images' pipeline."""
    from mmcv.transforms import Compose
    from mmdet.apis import init_detector

    config = mmdet_config(config, scale)
    model = init_detector(config, weights, device=device)
    steps = config.test_dataloader.dataset.pipeline
    return model, Compose([step for step in steps if step.type != 'LoadAnnotations'])


def mmdet_resave(config: str, source: str, target: str) -> None:
    """Load strictly what hrdet exported, save it as mmdetection does."""
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.runner import load_checkpoint, save_checkpoint, weights_to_cpu

    register_all_modules()
    config = mmdet_config(config, [1333, 800])
    config.model.backbone.init_cfg = None
    model = MODELS.build(config.model)
    load_checkpoint(model, source, map_location='cpu', strict=True)
    meta = dict(dataset_meta=dict(classes=CLASSES), mmdet_version='3')
    save_checkpoint(dict(state_dict=weights_to_cpu(model.state_dict()), meta=meta), target)
