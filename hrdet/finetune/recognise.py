"""Recognise the user's data: boxes, label maps or class folders."""

from pathlib import Path

from hrdet.data import DataError
from hrdet.finetune.boxes import open_boxes
from hrdet.finetune.data import OwnData
from hrdet.finetune.folders import open_class_folders, open_label_maps


def open_data(path: str, folder: Path) -> OwnData:
    """Recognise what lies at ``path``; lists and labels that have to be written go to ``folder``.

    Raises:
        DataError: nothing that is known, or it cannot be read.
    """
    for reader in (open_boxes, open_label_maps, open_class_folders):
        data = reader(Path(path), folder)
        if data is not None:
            if len(data.classes) == 1 and data.task != 'boxes':
                raise DataError(f'{path}: one class alone ({data.classes[0]}): nothing to learn')
            return data
    raise DataError(
        f'{path}: neither labels of boxes (COCO, VOC, YOLO, labelme), nor images with label maps '
        f'(images/ and labels/ with PNGs), nor a folder for each class; docs/data.md shows each'
    )
