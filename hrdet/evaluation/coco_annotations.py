"""Complete COCO annotations with default fields, and check results against them.

The evaluation engines sort by image id, and pycocotools loses a match with annotation id 0.  Both
ids are therefore replaced by 1, 2, ... in sorted order, which changes no other number and allows
strings as image ids.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as rle

from hrdet.json_files import read_json
from hrdet.structures.coco_masks import check_segmentation

_LISTED = 5  # ids and annotations named in a message before '...'
# Fields that the engines read; others may be of any type.
_IMAGE = ('height', 'width')
_CATEGORY = ('id', 'name')
_ANNOTATION = ('category_id', 'bbox', 'area', 'segmentation')


@dataclass(slots=True)
class CocoAnnotations:
    """COCO annotations ready for an engine; ``order`` maps the file's image ids to 1..N."""

    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    order: dict[int | str, int]

    @classmethod
    def read(
        cls,
        source: str | os.PathLike | Mapping[str, Any],
        image_ids: Sequence[int | str] | None = None,
        category_ids: Sequence[int] | None = None,
        absent_classes: Mapping[int, str] | None = None,
        masks: bool = False,
    ) -> 'CocoAnnotations':
        """From a COCO annotation file or its content, all of it or some images and categories.

        Missing ``iscrowd`` is 0; missing ``area`` is the mask's, or the box's without a mask.
        Fields that COCO's metrics do not read are left aside, whatever they hold.

        Args:
            source: a file, or its content.
            image_ids: the images that count; None: all.
            category_ids: the categories that count; None: all.
            absent_classes: names of ids among them that the file lacks.
            masks: every annotation must have a segmentation that can become a mask.

        Raises:
            ValueError: not COCO annotations; ids asked for that the file does not have; an
                annotation without a sound mask, of ``masks``.
        """
        content, name = source, 'annotations'
        if not isinstance(source, Mapping):
            name = str(source)
            content = _read_json(name)
        if not isinstance(content, Mapping):
            raise ValueError(f'{name}: COCO annotations are a dict, this is a list (of results?)')
        absent = [k for k in ('images', 'categories', 'annotations') if k not in content]
        if absent:
            raise ValueError(f'{name}: no {absent[0]!r} in it, so these are not COCO annotations')
        # 1. The images and categories that count; images are renumbered 1..N by their ids.
        images = _chosen(content['images'], image_ids, f'{name}: image')
        absent = [{'id': i, 'name': n} for i, n in (absent_classes or {}).items()]
        listed = [*content['categories'], *absent]
        categories = _chosen(listed, category_ids, f'{name}: category')
        ranked = sorted(images, key=lambda image: (isinstance(image, str), image))
        order = {image: rank for rank, image in enumerate(ranked, 1)}
        # 2. Their annotations; all broken ones are collected for one message.
        annotations, broken = [], []
        for number, annotation in enumerate(content['annotations'], 1):
            if annotation['image_id'] in order and annotation['category_id'] in categories:
                image = images[annotation['image_id']]
                try:
                    annotations.append(_complete(annotation, number, order, image, masks))
                except ValueError as error:
                    where = f'annotations[{number - 1}] (id {annotation.get("id")})'
                    broken.append(f'{name}: {where}: {error}')
        if broken:
            more = f'\n... and {len(broken) - _LISTED} more' if len(broken) > _LISTED else ''
            raise ValueError('\n'.join(broken[:_LISTED]) + more)
        return cls(
            [_fields(images[image], _IMAGE, id=rank) for image, rank in order.items()],
            [_fields(categories[category], _CATEGORY) for category in sorted(categories)],
            annotations,
            order,
        )

    def columns(self, results: Iterable[Mapping[str, Any]]) -> np.ndarray:
        """Results (R dicts of COCO's box format) as (R, 7): image, x, y, w, h, score, category.

        Raises:
            ValueError: names the first result that lacks a key, holds a number that is not
                finite, or is about an image or category that the annotations do not have.
        """
        rows = []
        for index, result in enumerate(results):
            try:
                image, box = result['image_id'], result['bbox']
                rows.append((self._rank(image), *box, result['score'], result['category_id']))
            except KeyError as error:
                raise ValueError(f'result {index} has no key {error}: {result}') from None
            if len(rows[-1]) != 7:
                raise ValueError(f'result {index}: bbox is [x, y, w, h], not {box}')
        return self.checked(np.array(rows, np.float64).reshape(-1, 7))

    def masks(self, results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Results of COCO's mask format with the images renumbered; errors as in ``columns``.

        A ``bbox`` beside the mask is left out: the engines would sort the object into small,
        medium and large by its box instead of its mask.
        """
        # Sizes are known only where the annotation file states them.
        sizes = {image['id']: (image.get('height'), image.get('width')) for image in self.images}
        renumbered, rows = [], []
        for index, result in enumerate(results):
            try:
                rank, segmentation = self._rank(result['image_id']), result['segmentation']
                score, category = result['score'], result['category_id']
            except KeyError as error:
                raise ValueError(f'result {index} has no key {error}') from None
            if (
                not isinstance(segmentation, Mapping)
                or not {'size', 'counts'} <= segmentation.keys()
            ):
                raise ValueError(f'result {index}: segmentation is an RLE dict(size, counts)')
            # Rank 0 is an unknown image, which ``checked`` reports below.
            if rank and None not in sizes[rank] and tuple(segmentation['size']) != sizes[rank]:
                raise ValueError(
                    f'result {index}: a mask of {tuple(segmentation["size"])} for image '
                    f'{result["image_id"]} of (h, w) = {sizes[rank]}'
                )
            rows.append((rank, score, category))
            renumbered.append(
                {
                    'image_id': rank,
                    'category_id': category,
                    'segmentation': dict(segmentation),
                    'score': score,
                }
            )
        columns = np.zeros((len(rows), 7))
        columns[:, [0, 5, 6]] = np.array(rows, np.float64).reshape(-1, 3)
        self.checked(columns)
        return renumbered

    def checked(self, columns: np.ndarray) -> np.ndarray:
        """The same (R, 7) columns, or a ValueError that names what cannot be evaluated."""
        # 1. Numbers; 2. images; 3. categories: each error names the first bad result.
        broken = np.flatnonzero(~np.isfinite(columns).all(1))
        if len(broken):
            raise ValueError(
                f'result {broken[0]} has a box or score that is not a finite number '
                f'({len(broken)} of {len(columns)} results): {columns[broken[0], 1:6]}'
            )
        stray = np.flatnonzero(columns[:, 0] == 0)
        if len(stray):
            raise ValueError(
                f'{len(stray)} of {len(columns)} results, result {stray[0]} first, are about '
                f'images that are not in the annotations; these have {_some(self.order)}'
            )
        known = [category['id'] for category in self.categories]
        foreign = np.setdiff1d(columns[:, 6], known)
        if len(foreign):
            raise ValueError(
                f'results for category ids {_some(foreign.astype(int).tolist())}, the annotations '
                f'have {_some(known)}: category ids come from the file and are not class labels'
            )
        return columns

    def _rank(self, image: Any) -> int:
        return self.order.get(image, 0)


def read_results(results: Any) -> Any:
    """Results from a JSON file, or as they are."""
    return _read_json(str(results)) if isinstance(results, (str, os.PathLike)) else results


def _read_json(path: str) -> Any:
    try:
        return read_json(path)
    except ValueError as error:
        raise ValueError(f'{path}: not JSON ({error})') from None


def _chosen(records: list[dict], ids: Sequence | None, what: str) -> dict[Any, dict]:
    known = {record['id']: record for record in records}
    if ids is None:
        return known
    absent = [i for i in ids if i not in known]
    if absent:
        raise ValueError(f'{what} ids {_some(absent)} are not in it; it has {_some(known)}')
    return {i: known[i] for i in ids}


def _fields(record: Mapping, names: Sequence[str], **others: Any) -> dict[str, Any]:
    return {name: record[name] for name in names if name in record} | others


def _complete(
    annotation: Mapping, number: int, order: Mapping, image: Mapping, masks: bool
) -> dict[str, Any]:
    """One annotation with all that the engines read; ``masks``: it needs a mask."""
    crowd = annotation.get('iscrowd')
    if crowd not in (0, 1, None):
        raise ValueError(f'iscrowd must be 0 or 1, not {crowd!r}')
    whole = _fields(
        annotation,
        _ANNOTATION,
        id=number,
        image_id=order[annotation['image_id']],
        iscrowd=int(crowd or 0),
    )
    # A mask is checked where the metric needs it, or where the area is computed from it.
    segmentation = annotation.get('segmentation')
    if masks or ('area' not in whole and segmentation):
        if not segmentation:
            raise ValueError('no segmentation, which the metric segm needs')
        if not {'height', 'width'} <= image.keys():
            raise ValueError(f'its image {image["id"]!r} has no height and width')
        check_segmentation(segmentation, (image['height'], image['width']))
    if 'area' not in whole:
        whole['area'] = (
            _mask_area(segmentation, image['height'], image['width'])
            if segmentation
            else float(whole['bbox'][2] * whole['bbox'][3])
        )
    return whole


def _mask_area(segmentation: list | dict, height: int, width: int) -> float:
    # Compressed RLE as it is; run lengths as a list, and polygons (united), are converted first.
    if isinstance(segmentation, dict) and not isinstance(segmentation['counts'], list):
        return float(rle.area(segmentation))
    parts = rle.frPyObjects(segmentation, height, width)
    return float(rle.area(rle.merge(parts) if isinstance(parts, list) else parts))


def _some(ids: Iterable) -> str:
    ids = list(ids)
    return ', '.join(map(str, ids[:_LISTED])) + (', ...' if len(ids) > _LISTED else '')
