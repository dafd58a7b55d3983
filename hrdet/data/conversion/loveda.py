"""LoveDA: rural and urban images in one folder a part."""

from functools import partial
from pathlib import Path

from hrdet.data import DataError
from hrdet.data.conversion.plan import Plan, unfinished
from hrdet.data.conversion.raw_files import RawFile, find_files

_KINDS = {'images_png': 'img_dir', 'masks_png': 'ann_dir'}
_PARTS = ('Train', 'Val', 'Test')


def plan_loveda(raw: Path, out: Path) -> Plan:
    """``{img,ann}_dir/{train,val}`` and ``img_dir/test`` from ``Train.zip``, ``Val.zip``, ..."""
    plan = Plan(targets=[out / folder for folder in _KINDS.values()])
    placed: dict[Path, RawFile] = {}
    counts = dict.fromkeys(_PARTS, 0)
    for file in find_files(raw, lambda f: f.name.endswith('.png')):
        part, _, kind = ('', '', '', *file.folders)[-3:]  # Train/Rural/images_png
        if part not in _PARTS or kind not in _KINDS:
            continue
        # Rural and Urban go into one folder, so that names must differ.
        path = unfinished(out / _KINDS[kind]) / part.lower() / file.name
        if path in placed:
            raise DataError(f'{placed[path]} and {file} would have one name')
        placed[path] = file
        counts[part] += kind == 'images_png'
        plan.steps.append(partial(file.place, path))
    for part in ('Train', 'Val'):
        _check_pairs(raw, part, placed)
    made = ', '.join(f'{count} {part.lower()}' for part, count in counts.items())
    plan.summary = f'images: {made} in {out}'
    return plan


def _check_pairs(raw: Path, part: str, placed: dict[Path, RawFile]) -> None:
    # Names that only one of the two kinds has: ``^`` is the symmetric difference.
    images, maps = (
        {f.name: f for f in placed.values() if (f.folders[-3], f.folders[-1]) == (part, kind)}
        for kind in _KINDS
    )
    if not images:
        raise DataError(f'{raw} has no {part}/Rural/images_png/*.png; {part}.zip has them')
    for name in sorted(images.keys() ^ maps.keys()):
        raise DataError(f'{images.get(name) or maps[name]} has no image or label map beside it')
