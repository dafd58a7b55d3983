"""A classifier and a segmentor of quickstart configs, and a batch of noise for each."""

from pathlib import Path

import torch

from hrdet.config import load_config, lower
from hrdet.models import build_model
from hrdet.structures import Batch, ClassLabel, ImageMeta, SegmentationMap

ROOT = Path(__file__).resolve().parents[2]
CLASSES = tuple('abcdef')
CONFIGS = {
    'classification': 'configs/quickstart/hrnet-w18-small_classification.py',
    'segmentation': 'configs/quickstart/fcn_hr18s.py',
}
SIZE = (64, 96)


CHANNELS = (16, 32, 64, 128)  # of the branches of ``small_backbone``


def small_backbone():
    """An HRNet with one block in each branch of each stage."""
    extra = {
        f'stage{branches}': dict(
            num_modules=1,
            num_branches=branches,
            block='BASIC' if branches > 1 else 'BOTTLENECK',
            num_blocks=[1] * branches,
            num_channels=list(CHANNELS[:branches]),
        )
        for branches in (1, 2, 3, 4)
    }
    return dict(type='HRNet', extra=extra, norm_eval=False)


def make_small(model):
    """Put the small backbone into the model of a config of either task."""
    norms = {'norm_cfg': model.backbone.norm_cfg} if 'norm_cfg' in model.backbone else {}
    model.backbone = small_backbone() | norms
    if 'decode_head' in model:
        model.decode_head.update(in_channels=list(CHANNELS), channels=sum(CHANNELS))
    else:
        model.neck[0].in_channels = CHANNELS


def model_of(task, small=False, with_cp=False, **options):
    """``options`` are keys of the config."""
    config = load_config(ROOT / CONFIGS[task], options)
    if small:
        make_small(config.model)
    config.model.backbone.with_cp = with_cp
    torch.manual_seed(0)
    return build_model(lower(config), CLASSES)


def batch_of(task, images=(0, 1)):
    """Two images, or those of these indices."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 6, (2, *SIZE), dtype=torch.uint8, generator=generator)
    if task == 'classification':
        labels = torch.tensor([1, 4])
    chosen = list(images)
    metas = [ImageMeta(f'{i}.png', i, SIZE, SIZE, SIZE) for i in chosen]
    sizes = torch.tensor([SIZE] * len(chosen), dtype=torch.float32)
    truth = (SegmentationMap if task == 'segmentation' else ClassLabel)(labels[chosen])
    return Batch(pixels[chosen], metas, sizes, sizes, truth)
