"""Data sets in COCO's format, with images in a folder or in a zip file."""

from collections.abc import Callable, Sequence
from typing import Literal

from hrdet.boxes import BoxConvention
from hrdet.data.annotations import read_coco, read_proposals
from hrdet.data.datasets.annotated import AnnotatedImages
from hrdet.data.datasets.images import image_store
from hrdet.data.errors import raise_or_warn
from hrdet.ranges import Count, Natural
from hrdet.registry import register


@register('CocoDataset', 'CocoZipDataset')
class CocoDataset(AnnotatedImages):
    """COCO instances: one JSON file and its images.

    Boxes are [x, y, width, height]; ids may be any numbers, labels follow the sorted category ids
    or ``classes``.  Crowd regions become ignored boxes and never masks.  A zip file as
    ``img_prefix`` is read in place, under either name of the data set.

    Args:
        ann_file: the JSON file.
        img_prefix: folder of the images, a .zip file, or a folder inside one.
        seg_prefix: the same for semantic maps.
        semantic_classes: labels of these maps; None: any.
        proposal_file: see ``read_proposals``; ``num_max_proposals`` are kept for each image.
        The others: see ``AnnotatedImages``.
    """

    def __init__(
        self,
        ann_file: str,
        img_prefix: str = '',
        transforms: Sequence[Callable] = (),
        classes: Sequence[str] | None = None,
        test_mode: bool = False,
        filter_empty: bool = True,
        min_size: Natural = 32,
        with_mask: bool = False,
        with_crowd: bool = True,
        proposal_file: str | None = None,
        num_max_proposals: Count | None = 1000,
        seg_prefix: str | None = None,
        box_convention: BoxConvention | str = BoxConvention.INCLUSIVE,
        exif: Literal['ignore', 'apply', 'error'] = 'ignore',
        semantic_classes: Count | None = None,
    ):
        # Fatal problems of the annotations are an error before images are looked for.
        self.ann_file = ann_file
        table, problems = read_coco(ann_file, with_mask, not test_mode, masks_needed=not test_mode)
        raise_or_warn([problem for problem in problems if problem.fatal])
        proposals = read_proposals(proposal_file, num_max_proposals) if proposal_file else None
        super().__init__(
            table,
            problems,
            image_store(img_prefix),
            transforms,
            classes,
            test_mode,
            filter_empty,
            min_size,
            with_mask,
            with_crowd,
            proposals,
            image_store(seg_prefix, 'seg_prefix') if seg_prefix and not test_mode else None,
            box_convention,
            exif,
            semantic_classes,
        )
