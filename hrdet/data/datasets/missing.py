"""Files and folders of a data set that are not there: what to do about it."""

import re
from pathlib import Path

from hrdet.data.datasets.annotations import DataError

# Where the data is that the paths of hrdet's own configs mean; the first that fits.
_SOURCES = {
    r'(^|/)data/shapes/': 'python tools/make_shapes.py --out data/shapes makes this data set',
    r'stuffthingmaps/(train|val)2017': 'COCO-Stuff has it: stuffthingmaps_trainval2017.zip',
    r'(^|/|_)(train|val)2017(/|\.json|\.zip|$)': 'COCO has it: cocodataset.org/#download, '
    'unpacked to annotations/, train2017/ and val2017/',
}


def missing(key: str, path: str, kind: str) -> DataError:
    """The error for a path in ``key`` where there is no file, folder or zip file (``kind``)."""
    here = '' if Path(path).is_absolute() else f' (looked for in {Path.cwd()})'
    sources = [text for pattern, text in _SOURCES.items() if re.search(pattern, path)]
    where = f'{sources[0]}. ' if sources else ''
    return DataError(
        f'{key}: there is no {kind} {path}{here}. hrdet downloads nothing by itself. {where}If it '
        f'lies elsewhere, write that into {key}; tools/check_dataset.py --config CONFIG tells what '
        f'else is missing'
    )
