"""Classifiers beside mmpretrain and timm: normalised images to the logits of 1000 classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import models
from benchmarks.compare import near_arrays, same_arrays
from benchmarks.harness import Arrays, Case, Options, Side

NAME, CLASSES = 'hrnet-w18_4xb32_in1k', 1000
_VARIANTS = {'hrdet': None, 'hrdet optimized': {}, 'hrdet bfloat16': {'dtype': 'bfloat16'}}


def cases(options: Options) -> list[Case]:
    """W18 on 1 and 8 images of 224 x 224."""
    return [_case(options, batch) for batch in ((1, 2) if options.tiny else (1, 8))]


def _case(options: Options, batch: int) -> Case:
    def files() -> tuple[dict, dict]:
        weights = {
            layout: models.exported(options, NAME, layout, CLASSES)
            for layout in ('mmpretrain', 'official')
        }
        shared = dict(weights=weights, batch=batch, size=64 if options.tiny else 224)
        return shared, shared

    sides = []
    for name, optimize in _VARIANTS.items():
        same = near_arrays(0.05) if optimize else same_arrays(rtol=1e-3, atol=1e-5)
        values = dict(optimize=optimize)
        check = None if name == 'hrdet' else same
        sides.append(Side(name, f'{__name__}:hrdet_logits', values, check, peer=False))
    for peer in ('mmpretrain', 'timm'):
        same = same_arrays(rtol=1e-3, atol=1e-5)
        sides.append(Side(peer, f'{__name__}:{peer}_logits', same=same))
    return Case(f'classifier W18, 224 x 224, batch {batch}', sides, files=files)


def hrdet_logits(
    weights: dict[str, str], batch: int, size: int, optimize: dict[str, Any] | None
) -> tuple[Callable, Callable]:
    from hrdet.apis import init_model

    own = Path(weights['mmpretrain']).with_suffix('.own.pth')
    model = init_model(NAME, str(own), 'cpu')
    return _network(models.optimized(model, optimize), batch, size, optimize is not None)


def mmpretrain_logits(weights: dict[str, str], batch: int, size: int) -> tuple[Callable, Callable]:
    import mmpretrain
    from mmengine.config import Config
    from mmengine.runner import load_checkpoint
    from mmpretrain.registry import MODELS
    from mmpretrain.utils import register_all_modules

    register_all_modules()
    folder = Path(mmpretrain.__file__).parent / '.mim' / 'configs' / 'hrnet'
    model = MODELS.build(Config.fromfile(folder / f'{NAME}.py').model).eval()
    load_checkpoint(model, weights['mmpretrain'], map_location='cpu', strict=True)
    return _network(model, batch, size)


def timm_logits(weights: dict[str, str], batch: int, size: int) -> tuple[Callable, Callable]:
    """In the memory format that is faster there, channels_last."""
    import timm
    import torch

    model = timm.create_model('hrnet_w18').eval()
    model.load_state_dict(torch.load(weights['official'], weights_only=True))
    model = model.to(memory_format=torch.channels_last)
    return _network(model, batch, size, channels_last=True)


def _network(model: Any, batch: int, size: int, channels_last: bool = False) -> tuple:
    import torch

    images = np.random.default_rng(0).standard_normal((batch, 3, size, size), np.float32)
    weight = next(model.parameters())
    images = torch.from_numpy(images).to(weight.dtype)
    if channels_last:
        images = images.to(memory_format=torch.channels_last)

    def arrays(logits: torch.Tensor) -> Arrays:
        return {'logits': logits.float().numpy()}

    return torch.no_grad()(lambda: model(images)), arrays
