"""Data sets in PASCAL VOC's layout: Annotations/*.xml, JPEGImages/, ImageSets/Main/*.txt."""

import os
from collections.abc import Callable, Sequence
from typing import Literal

from hrdet.boxes import BoxConvention
from hrdet.data.annotations import read_voc
from hrdet.data.datasets.annotated import AnnotatedImages
from hrdet.data.datasets.images import FolderImages
from hrdet.data.errors import raise_or_warn
from hrdet.ranges import Natural
from hrdet.registry import register


@register()
class VOCDataset(AnnotatedImages):
    """VOC boxes: one XML file for each image.

    Corners in the files are pixels counted from 1, both included: a box becomes (xmin - 1,
    ymin - 1, xmax, ymax), at least one pixel large.  Difficult objects are ignored regions.  Image
    ids are positions in ``ann_file``; category ids count from 1.

    Args:
        ann_file: text file with an image name in each line (``ImageSets/Main/train.txt``).  The
            second column of VOC's lists of one class (``name -1``) is ignored: the XML file says
            what is on an image.
        img_prefix: the folder with ``Annotations`` and ``JPEGImages``.
        classes: None takes every name that any file in ``Annotations`` has, in alphabetical
            order, so that the splits of a data set agree.
        The others: see ``AnnotatedImages``.
    """

    def __init__(
        self,
        ann_file: str,
        img_prefix: str,
        transforms: Sequence[Callable] = (),
        classes: Sequence[str] | None = None,
        test_mode: bool = False,
        filter_empty: bool = True,
        min_size: Natural = 32,
        with_crowd: bool = True,
        box_convention: BoxConvention | str = BoxConvention.INCLUSIVE,
        exif: Literal['ignore', 'apply', 'error'] = 'ignore',
    ):
        self.ann_file = ann_file
        table, problems = read_voc(ann_file, img_prefix)
        raise_or_warn([problem for problem in problems if problem.fatal])
        super().__init__(
            table,
            problems,
            FolderImages(os.path.join(img_prefix, 'JPEGImages')),
            transforms,
            classes,
            test_mode,
            filter_empty,
            min_size,
            with_crowd=with_crowd,
            box_convention=box_convention,
            exif=exif,
        )
