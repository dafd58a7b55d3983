"""Reading a COCO annotation file once, checking every entry of it."""

import json
import math
from pathlib import Path

import numpy as np

from hrdet.data.annotations.table import AnnotationTable
from hrdet.data.errors import DataError, Problem, missing

OUTSIDE_TOLERANCE = 2.0  # pixels: COCO's own boxes leave their images by rounding


def read_coco(path: str, with_mask: bool = False) -> tuple[AnnotationTable, list[Problem]]:
    """All of a COCO file as columns, and what is wrong with it.

    Items with problems that are fatal are left out of the table.  Bad polygons are fatal only
    ``with_mask``, which also keeps the segmentations in memory.

    Raises:
        DataError: the file is missing, not JSON, or not a COCO instances file.
    """
    return _CocoFile(path, with_mask).read()


class _CocoFile:
    def __init__(self, path: str, with_mask: bool):
        self.path = path
        self.with_mask = with_mask
        self.problems: list[Problem] = []

    def read(self) -> tuple[AnnotationTable, list[Problem]]:
        content = self._load()
        categories = self._categories(content['categories'])
        names, sizes = self._images(content['images'])
        rows, segmentations = self._annotations(content['annotations'], names, categories)
        # One row (10,) for each box: entry, image, label, x, y, w, h, area, crowd, ignore; by
        # image.
        table = np.array(rows, np.float64).reshape(-1, 10)
        order = np.argsort(table[:, 1], kind='stable')
        table = table[order]
        x, y, w, h = table[:, 3:7].T
        sizes = np.array(sizes, np.int64).reshape(-1, 2)
        positions, image_rows = table[:, 0].astype(int), table[:, 1].astype(np.int64)
        self._check_boxes(content['annotations'], positions, table[:, 3:7], sizes[image_rows])
        columns = AnnotationTable(
            file=self.path,
            image_ids=list(names),
            file_names=list(names.values()),
            sizes=sizes,
            category_ids=tuple(categories),
            classes=tuple(categories.values()),
            image_rows=image_rows,
            boxes=np.stack([x, y, x + w, y + h], axis=1).astype(np.float32),
            areas=table[:, 7],
            labels=table[:, 2].astype(np.int64),
            crowd=table[:, 8] != 0,
            flagged=table[:, 9] != 0,
            segmentations=[segmentations[i] for i in order] if self.with_mask else None,
        )
        return columns, self.problems

    def _load(self) -> dict:
        try:
            with Path(self.path).open('rb') as file:
                content = json.load(file)
        except FileNotFoundError:
            raise missing('ann_file', self.path, 'file') from None
        except OSError as error:
            raise DataError(f'ann_file {self.path}: {error.strerror}') from error
        except ValueError as error:
            raise DataError(f'ann_file {self.path}: not JSON: {error}') from error
        for key in ('images', 'annotations', 'categories'):
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                raise DataError(
                    f"ann_file {self.path}: no list '{key}'; a COCO instances file has 'images', "
                    f"'annotations' and 'categories'"
                )
        return content

    def _categories(self, entries: list) -> dict[int, str]:
        categories: dict[int, str] = {}
        for index, entry in enumerate(entries):
            missing = _missing(entry, ('id', 'name'))
            if missing:
                self._fatal('categories', index, entry, missing)
            elif not isinstance(entry['id'], int) or not isinstance(entry['name'], str):
                self._fatal('categories', index, entry, 'id must be a whole number, name a text')
            elif entry['id'] in categories:
                self._fatal('categories', index, entry, 'the id is used twice')
            elif entry['name'] in categories.values():
                self._fatal('categories', index, entry, f'a second class {entry["name"]!r}')
            else:
                categories[entry['id']] = entry['name']
        return dict(sorted(categories.items()))

    def _images(self, entries: list) -> tuple[dict, list[tuple[int, int]]]:
        names, sizes = {}, []
        for index, entry in enumerate(entries):
            reason = _missing(entry, ('id', 'file_name', 'height', 'width'))
            if not reason:
                size = (entry['height'], entry['width'])
                if not all(_is_number(edge) and edge == int(edge) > 0 for edge in size):
                    reason = f'height and width must be whole numbers above 0, not {size}'
                elif not isinstance(entry['id'], (int, str)):
                    reason = 'id must be a whole number or a text'
                elif entry['id'] in names:
                    reason = 'the id is used twice'
            if reason:
                self._fatal('images', index, entry, reason)
            else:
                names[entry['id']] = entry['file_name']
                sizes.append(size)
        return names, sizes

    def _annotations(self, entries: list, names: dict, categories: dict) -> tuple[list, list]:
        image_row = {image_id: row for row, image_id in enumerate(names)}
        label = {category_id: row for row, category_id in enumerate(categories)}
        rows, segmentations, seen = [], [], set()
        for index, entry in enumerate(entries):
            reason = _annotation_fault(entry, image_row, label, seen)
            if reason:
                self._fatal('annotations', index, entry, reason)
                continue
            seen.add(entry['id'])
            x, y, w, h = entry['bbox']
            crowd = bool(entry.get('iscrowd', 0))
            segmentation = self._segmentation(index, entry, crowd)
            rows.append((
                index, image_row[entry['image_id']], label[entry['category_id']],
                x, y, w, h, entry.get('area', w * h), crowd, bool(entry.get('ignore', 0)),
            ))  # fmt: skip
            if self.with_mask:
                segmentations.append(segmentation)
        return rows, segmentations

    def _segmentation(self, index: int, entry: dict, crowd: bool) -> list | dict | None:
        """Polygons as arrays or an RLE dict; None where there is none or it is not needed."""
        segmentation = entry.get('segmentation')
        reason = ''
        if isinstance(segmentation, list) and segmentation:
            segmentation, reason = _polygons(segmentation, self.with_mask)
        elif isinstance(segmentation, dict) and segmentation:
            reason = _missing(segmentation, ('counts', 'size'))
        elif self.with_mask:
            reason = 'no segmentation, which with_mask=True needs'
        if reason and not crowd:
            self._add('annotations', index, entry, reason, fatal=self.with_mask)
        return None if crowd or reason else segmentation

    def _check_boxes(self, entries, positions, boxes, sizes) -> None:
        x, y, w, h = boxes.T
        height, width = sizes.T
        empty = (w <= 0) | (h <= 0)
        for i in np.flatnonzero(empty):
            reason = f'a box of zero size, dropped: bbox {boxes[i].tolist()}'
            self._add('annotations', positions[i], entries[positions[i]], reason, fatal=False)
        # How far (m,) each box leaves its image, at the worst of its four sides.
        beyond = np.max([-x, -y, x + w - width, y + h - height], axis=0) > OUTSIDE_TOLERANCE
        for i in np.flatnonzero(beyond & ~empty):
            reason = (
                f'the box {boxes[i].tolist()} leaves its image of {width[i]} x {height[i]} pixels'
            )
            self._add('annotations', positions[i], entries[positions[i]], reason, fatal=False)

    def _fatal(self, table: str, index: int, entry: object, reason: str) -> None:
        self._add(table, index, entry, reason, fatal=True)

    def _add(self, table: str, index: int, entry: object, reason: str, fatal: bool) -> None:
        known = isinstance(entry, dict) and 'id' in entry
        where = f'{table}[{index}]' + (f' (id {entry["id"]})' if known else '')
        self.problems.append(Problem(self.path, where, reason, fatal))


def _missing(entry: object, keys: tuple[str, ...]) -> str:
    if not isinstance(entry, dict):
        return f'must be an object, not {entry!r}'
    missing = [key for key in keys if key not in entry]
    return f'missing {", ".join(map(repr, missing))}' if missing else ''


def _annotation_fault(entry: object, image_row: dict, label: dict, seen: set) -> str:
    missing = _missing(entry, ('id', 'image_id', 'category_id', 'bbox'))
    if missing:
        return missing
    box, area = entry['bbox'], entry.get('area', 0)
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f'bbox must be four finite numbers [x, y, width, height], not {box!r}'
    if box[2] < 0 or box[3] < 0:
        return f'bbox {box} has a negative size; COCO boxes are [x, y, width, height]'
    if not _is_number(area):
        return f'area must be a finite number, not {area!r}'
    if not all(isinstance(entry[key], (int, str)) for key in ('id', 'image_id', 'category_id')):
        return 'id, image_id and category_id must be whole numbers or texts'
    if entry['image_id'] not in image_row:
        return f'there is no image with the id {entry["image_id"]!r}'
    if entry['category_id'] not in label:
        return f'there is no category with the id {entry["category_id"]!r}'
    return 'the id is used twice' if entry['id'] in seen else ''


def _polygons(polygons: list, convert: bool) -> tuple[list, str]:
    """The polygons, as float64 arrays if asked for, and what is wrong with the first bad one."""
    arrays = []
    for number, polygon in enumerate(polygons):
        if not isinstance(polygon, list) or len(polygon) % 2:
            return [], f'polygon {number} is not a list of x, y pairs'
        if len(polygon) < 6:
            return [], f'polygon {number} has fewer than three points: {polygon}'
        if convert:
            try:
                arrays.append(np.array(polygon, np.float64))
            except (TypeError, ValueError):
                return [], f'polygon {number} has coordinates that are not numbers'
            if not np.isfinite(arrays[-1]).all():
                return [], f'polygon {number} has coordinates that are not finite'
    return arrays, ''


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
