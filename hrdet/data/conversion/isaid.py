"""iSAID: patches of 896 x 896 pixels that overlap by 384."""

import re
from functools import partial
from pathlib import Path

from hrdet.data import DataError
from hrdet.data.conversion.plan import Plan, unfinished
from hrdet.data.conversion.raw_files import find_files
from hrdet.data.conversion.tiles import cut_tiles
from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES

_PATCH, _OVERLAP = 896, 384
_LABEL = '_instance_color_RGB'


def plan_isaid(raw: Path, out: Path) -> Plan:
    """From DOTA's images and iSAID's ``Semantic_masks``, in ``train``, ``val`` (and ``test``).

    Test images, which have no labels, are taken whole.
    """
    source = SEGMENTATION_SOURCES['isaid']
    labels = {colour: label for label, colour in enumerate(source.palette)}
    plan = Plan(targets=[out / 'img_dir', out / 'ann_dir'])
    image_dir, label_dir = map(unfinished, plan.targets)
    files = find_files(raw, lambda f: re.fullmatch(rf'P\d+({_LABEL})?\.png', f.name))
    # 1. Train and val: each image needs its painted mask, and both are cut alike.
    counts = {}
    for part in ('train', 'val'):
        in_part = {f.name: f for f in files if part in f.folders}
        images = sorted(name for name in in_part if _LABEL not in name)
        if not images:
            raise DataError(f'{raw} has no {part}/images/P*.png')
        counts[part] = len(images)
        for name in images:
            stem = name.removesuffix('.png')
            painted = in_part.get(f'{stem}{_LABEL}.png')
            if painted is None:
                raise DataError(f'{in_part[name]} has no {stem}{_LABEL}.png in Semantic_masks')
            step = partial(
                cut_tiles,
                in_part[name],
                painted,
                labels,
                _PATCH,
                _OVERLAP,
                image_dir / part,
                label_dir / part,
                f'{stem}_{{y1}}_{{y2}}_{{x1}}_{{x2}}',
                label_suffix=source.seg_map_suffix,
            )
            plan.steps.append(step)
    # 2. Test: whole images without labels.
    for file in files:
        if 'test' in file.folders and _LABEL not in file.name:
            plan.steps.append(partial(file.place, image_dir / 'test' / file.name))
    plan.summary = f'patches of {counts["train"]} training and {counts["val"]} validation images'
    plan.summary += f' in {out}'
    return plan
