"""Recognise the user's data: boxes, label maps or class folders."""

from pathlib import Path
from typing import Any

from hrdet.data import DataError, ImageDataset
from hrdet.data.datasets.annotated import AnnotatedImages
from hrdet.data.datasets.images import image_store
from hrdet.data.formats import recognise_labels
from hrdet.finetune.boxes import UPRIGHT, open_boxes
from hrdet.finetune.data import OwnData
from hrdet.finetune.folders import (
    class_folder_sets,
    label_map_sets,
    open_class_folders,
    open_label_maps,
)
from hrdet.registry import registered


def open_data(path: str, folder: Path, skip_bad_images: bool = False) -> OwnData:
    """Recognise what lies at ``path``; lists and labels that have to be written go to ``folder``.

    Raises:
        DataError: nothing that is known, or it cannot be read.
    """
    data = open_boxes(Path(path), folder, skip_bad_images)
    data = data or open_label_maps(Path(path), folder) or open_class_folders(Path(path), folder)
    if data is None:
        raise _unknown(path)
    return data


def open_parts(path: str) -> tuple[str, dict[str, tuple[type[ImageDataset], dict[str, Any]]]]:
    """Recognise what lies at ``path`` as ``open_data`` does, without drawing or writing parts.

    Returns:
        One line about it, and of each part the class of its data set with the arguments.

    Raises:
        DataError: nothing that is known, or it cannot be read.
    """
    # 1. Labels of boxes.  Every image and object stays, also those that a training would filter.
    labelled = recognise_labels(path)
    if labelled is not None:
        everything = dict(filter_empty=False, min_size=0)
        everything['exif'] = 'apply' if labelled.kind in UPRIGHT else 'ignore'
        return str(labelled), {
            part.split: (
                AnnotatedImages,
                dict(
                    table=part.table,
                    problems=part.problems,
                    images=image_store(part.images),
                    **everything,
                ),
            )
            for part in labelled.parts
        }
    # 2. Label maps, or a folder for each class: the first reader that knows the layout wins.
    for reader in (label_map_sets, class_folder_sets):
        found = reader(Path(path))
        if found is not None:
            sets, note = found
            return note, {
                split: (registered(node['type']), {k: v for k, v in node.items() if k != 'type'})
                for split, node in sets.items()
            }
    raise _unknown(path)


def _unknown(path: str) -> DataError:
    return DataError(
        f'{path}: neither labels of boxes (COCO, VOC, YOLO, labelme), nor images with label maps '
        f'(images/ and labels/ with PNGs), nor a folder for each class; docs/data.md shows each'
    )
