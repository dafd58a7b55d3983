"""Which format a path of labelled images is in."""

from dataclasses import dataclass
from pathlib import Path

from hrdet.data.errors import DataError
from hrdet.data.formats import coco, labelme, voc, yolo
from hrdet.data.formats.labels import Labels, same_classes
from hrdet.messages import plural

_FORMATS = (yolo, voc, coco, labelme)


@dataclass(slots=True)
class LabelledData:
    """What a path holds."""

    path: str
    kind: str  # 'COCO', 'VOC', 'YOLO' or 'labelme'
    parts: list[Labels]  # in the order train, val, test; with one list of classes

    def __str__(self) -> str:
        parts = ', '.join(
            f'{part.split or "all"} {plural(len(part.table.file_names), "image")}'
            for part in self.parts
        )
        classes = self.parts[0].table.classes
        names = ', '.join(classes[:5]) + (', ...' if len(classes) > 5 else '')
        return (
            f'{self.path}: taken for {self.kind}: {parts}; '
            f'{plural(len(classes), "class", "classes")}: {names}'
        )


def recognise_labels(path: str) -> LabelledData | None:
    """Read the labels of boxes at a path, whatever their format; None where it holds none.

    Args:
        path: a folder, a COCO file or .zip, or the data.yaml of YOLO.

    Raises:
        DataError: there is nothing at the path, or its labels cannot be read.
    """
    if not Path(path).exists():
        here = '' if Path(path).is_absolute() else f' (looked for in {Path.cwd()})'
        raise DataError(f'{path}: there is no such file or folder{here}')
    for kind in _FORMATS:
        parts = kind.find(Path(path))
        if parts:
            if not any(part.table.classes for part in parts):
                problems = [problem for part in parts for problem in part.problems]
                reason = f': {problems[0]}' if problems else ''
                raise DataError(f'{path}: taken for {kind.KIND}, but it has no object{reason}')
            return LabelledData(path, kind.KIND, same_classes(parts))
    return None
