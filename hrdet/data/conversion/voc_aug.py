"""VOC 2012 with the annotations of SBD (Hariharan et al. 2011)."""

import io
from functools import partial
from pathlib import Path

import numpy as np

from hrdet.data.conversion.plan import Plan, unfinished, write_lines, write_png
from hrdet.data.conversion.raw_files import RawFile, find_files
from hrdet.data.errors import DataError, read_lines


def plan_voc_aug(raw: Path, out: Path) -> Plan:
    """``SegmentationClassAug`` from SBD's ``cls/*.mat``, and the lists of images to train on.

    ``raw`` is SBD's download (``benchmark_RELEASE``), ``out`` the folder VOC2012.  ``aug.txt``
    lists the images of SBD that are in neither of VOC's lists, ``trainaug.txt`` these and VOC's
    training images.
    """
    files = find_files(
        raw,
        lambda f: (
            (f.name.endswith('.mat') and f.folders[-1:] == ('cls',))
            or (f.name in ('train.txt', 'val.txt') and f.folders[-1:] == ('dataset',))
        ),
    )
    # 1. The download must be complete: every listed image needs its .mat file.
    mats = [f for f in files if f.name.endswith('.mat')]
    lists = [f for f in files if f.name.endswith('.txt')]
    if not mats or {f.name for f in lists} != {'train.txt', 'val.txt'}:
        raise DataError(f'{raw} has no dataset/cls/*.mat with dataset/train.txt and val.txt of SBD')
    sbd = {name for f in lists for name in f.read().decode().split()}
    missing = sorted(sbd - {f.name.removesuffix('.mat') for f in mats})
    if missing:
        raise DataError(f'{mats[0].path.parent}: {missing[0]}.mat is missing, which SBD lists')
    # 2. Training images: SBD's and VOC's, but none that VOC validates on.
    voc_train, voc_val = (_voc_list(out, part) for part in ('train', 'val'))
    aug = sorted(sbd - voc_train - voc_val)
    both = sorted((sbd | voc_train) - voc_val)

    maps, sets = out / 'SegmentationClassAug', out / 'ImageSets/Segmentation'
    plan = Plan(targets=[maps, sets / 'aug.txt', sets / 'trainaug.txt'])
    for file in mats:
        path = unfinished(maps) / file.name.replace('.mat', '.png')
        plan.steps.append(partial(_convert, file, path))
    for target, names in zip(plan.targets[1:], (aug, both)):
        plan.steps.append(partial(write_lines, unfinished(target), names))
    plan.summary = (
        f'{len(mats)} label maps in {maps}; {len(aug)} names in aug.txt, {len(both)} in '
        f'trainaug.txt (published models: 9118 and 10582)'
    )
    return plan


def _voc_list(out: Path, part: str) -> set[str]:
    path = out / f'ImageSets/Segmentation/{part}.txt'
    if not path.is_file():
        raise DataError(f'{path} is missing: OUT is the folder VOC2012 of the VOC devkit')
    return set(' '.join(read_lines(path, part)).split())


def _convert(file: RawFile, path: Path) -> None:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError(f'{file}: .mat files are read by scipy: pip install scipy') from error
    try:
        content = loadmat(io.BytesIO(file.read()))
        label = content['GTcls'][0]['Segmentation'][0].astype(np.uint8)
    except DataError:
        raise
    except Exception as error:  # of scipy's reader: many kinds
        raise DataError(f'{file}: not a label map of SBD ({error})') from error
    write_png(path, label)
