"""Potsdam and Vaihingen: tiles of 512 x 512 pixels, side by side."""

import re
from functools import partial
from pathlib import Path

from hrdet.data import DataError
from hrdet.data.conversion.plan import Plan, unfinished
from hrdet.data.conversion.raw_files import RawFile, find_files
from hrdet.data.conversion.tiles import cut_tiles
from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES

_TILE = 512
# Areas to train on; all others are for validation.
_POTSDAM = [f'{row}_{column}' for row in (2, 3, 4, 5) for column in (10, 11, 12)]
_POTSDAM += [f'{row}_{column}' for row in (6, 7) for column in range(7, 13)]
_VAIHINGEN = [f'area{n}' for n in (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37)]


def plan_potsdam(raw: Path, out: Path) -> Plan:
    """From ``2_Ortho_RGB.zip`` and ``5_Labels_all_noBoundary.zip``.

    Black boundaries and unknown colours are label 0, which the config ignores.
    """
    images = _by_area(raw, r'top_potsdam_(\d+_\d+)_RGB\.tif')
    painted = _by_area(raw, r'top_potsdam_(\d+_\d+)_label_noBoundary\.tif')
    if not images or not painted:
        raise DataError(
            f'{raw} lacks images or label maps: 2_Ortho_RGB.zip and 5_Labels_all_noBoundary.zip '
            f'have them'
        )
    return _plan(images, painted, out, 'potsdam', _POTSDAM)


def plan_vaihingen(raw: Path, out: Path) -> Plan:
    """From ``ISPRS_semantic_labeling_Vaihingen.zip`` and its eroded ground truth.

    Black boundaries and unknown colours are label 0, which the config ignores.
    """
    images = _by_area(raw, r'top_mosaic_09cm_(area\d+)\.tif')
    painted = _by_area(raw, r'top_mosaic_09cm_(area\d+)_noBoundary\.tif')
    if not images or not painted:
        raise DataError(
            f'{raw} lacks images or label maps: ISPRS_semantic_labeling_Vaihingen.zip and ISPRS_'
            f'semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE.zip have them'
        )
    return _plan(images, painted, out, 'vaihingen', _VAIHINGEN)


def _by_area(raw: Path, pattern: str) -> dict[str, RawFile]:
    """The files whose name fits the pattern, by its group."""
    # The labels for participants of Vaihingen's contest have the names of the images.
    files = find_files(
        raw, lambda f: re.fullmatch(pattern, f.name) and 'gts_for_participants' not in f.folders
    )
    return {re.fullmatch(pattern, file.name)[1]: file for file in files}


def _plan(
    images: dict[str, RawFile],
    painted: dict[str, RawFile],
    out: Path,
    name: str,
    training: list[str],
) -> Plan:
    for area in sorted(images.keys() - painted.keys()):
        raise DataError(f'{images[area]} has no label map')
    # Label 0 is for colours outside of the palette; classes start at 1 (reduce_zero_label).
    palette = SEGMENTATION_SOURCES[name].palette
    labels = {colour: label for label, colour in enumerate(palette, start=1)}
    plan = Plan(targets=[out / 'img_dir', out / 'ann_dir'])
    counts = {'train': 0, 'val': 0}
    for area, image in images.items():
        part = 'train' if area in training else 'val'
        counts[part] += 1
        folders = [unfinished(target) / part for target in plan.targets]
        tile = f'{area}_{{x1}}_{{y1}}_{{x2}}_{{y2}}'
        plan.steps.append(
            partial(cut_tiles, image, painted[area], labels, _TILE, 0, *folders, tile)
        )
    plan.summary = f'tiles of {counts["train"]} training and {counts["val"]} validation areas'
    plan.summary += f' in {out}'
    return plan
