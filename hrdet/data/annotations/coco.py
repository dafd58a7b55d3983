"""Reading a COCO annotation file once, checking every entry of it."""

import numpy as np

from hrdet.data.annotations.table import AnnotationTable
from hrdet.data.errors import DataError, Problem, missing
from hrdet.json_files import read_json
from hrdet.structures.coco_masks import check_segmentation, outlines_nothing

OUTSIDE_TOLERANCE = 2.0  # pixels: COCO's own boxes leave their images by rounding
LONGEST_EDGE = 1 << 20  # of an image, in pixels: OpenCV reads no longer one
_LARGEST = 1e13  # coordinates and areas, in pixels: beyond it is no number of a picture
_FLAGS = (0, 1, None)  # True and False among them
LARGEST_ID = 1 << 53  # of a category: what every reader of JSON keeps exactly


def read_coco(
    path: str,
    with_mask: bool = False,
    with_truth: bool = True,
    masks_needed: bool = True,
    runs_are_crowds: bool = True,
) -> tuple[AnnotationTable, list[Problem]]:
    """All of a COCO file as columns, and what is wrong with it.

    Items with problems that are fatal are left out of the table.  Damaged run lengths always are;
    polygons that cannot become masks are only ``with_mask``, which also keeps the segmentations in
    memory; ``masks_needed=False`` keeps those that are good, of crowd regions too.  Files without
    annotations, as COCO's test-dev has them, are read where ``with_truth`` is False.  CVAT marks
    every mask in run lengths as a crowd region: ``runs_are_crowds=False`` reads them as objects.

    Raises:
        DataError: the file is missing, not JSON, or not a COCO instances file.
    """
    file = _CocoFile(path, with_mask, with_truth)
    file.masks_needed = with_mask and masks_needed
    file.runs_are_crowds = runs_are_crowds
    return file.read()


class _CocoFile:
    masks_needed = runs_are_crowds = True

    def __init__(self, path: str, with_mask: bool, with_truth: bool):
        self.path = path
        self.with_mask = with_mask
        self.with_truth = with_truth
        self.problems: list[Problem] = []

    def read(self) -> tuple[AnnotationTable, list[Problem]]:
        content = self._load()
        categories = self._categories(content['categories'])
        names, sizes = self._images(content['images'])
        rows, segmentations = self._annotations(content['annotations'], names, sizes, categories)
        # One row (10,) for each box: entry, image, label, x, y, w, h, area, crowd, ignore; by
        # image.
        table = np.array(rows, np.float64).reshape(-1, 10)
        order = np.argsort(table[:, 1], kind='stable')
        table = table[order]
        x, y, w, h = table[:, 3:7].T
        sizes = np.array(sizes, np.int64).reshape(-1, 2)
        positions, image_rows = table[:, 0].astype(int), table[:, 1].astype(np.int64)
        self._check_boxes(content['annotations'], positions, table[:, 3:7], sizes[image_rows])
        self._check_supercategories(content['categories'], categories, table[:, 2])
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
            content = read_json(self.path)
        except FileNotFoundError:
            raise missing('ann_file', self.path, 'file') from None
        except OSError as error:
            raise DataError(f'ann_file {self.path}: {error.strerror}') from error
        except (ValueError, RecursionError) as error:
            raise DataError(f'ann_file {self.path}: not JSON: {error}') from error
        if isinstance(content, dict) and not self.with_truth:
            content.setdefault('annotations', [])
        for key in ('images', 'annotations', 'categories'):
            if not isinstance(content, dict) or not isinstance(content.get(key), list):
                a_list = isinstance(content, list)
                raise DataError(
                    f"ann_file {self.path}: no list '{key}'; a COCO instances file has 'images', "
                    f"'annotations' and 'categories'"
                    + ('; export COCO, not JSON, from Label Studio' if a_list else '')
                )
        return content

    def _categories(self, entries: list) -> dict[int, str]:
        categories: dict[int, str] = {}
        for index, entry in enumerate(entries):
            missing = _missing(entry, ('id', 'name'))
            if missing:
                self._fatal('categories', index, entry, missing)
            elif not _is_index(entry['id']) or not _is_text(entry['name']):
                reason = (
                    f'id must be a whole number from 0 to 2^53, name a text, not {entry["id"]!r} '
                    f'and {entry["name"]!r}'
                )
                self._fatal('categories', index, entry, reason)
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
                elif max(size) > LONGEST_EDGE:
                    reason = f'height and width are at most {LONGEST_EDGE} pixels, not {size}'
                elif not _is_id(entry['id']):
                    reason = 'id must be a whole number or a text'
                elif not _is_text(entry['file_name']):
                    reason = f'file_name must be a text, not {entry["file_name"]!r}'
                elif entry['id'] in names:
                    reason = 'the id is used twice'
            if reason:
                self._fatal('images', index, entry, reason)
            else:
                names[entry['id']] = entry['file_name']
                sizes.append(size)
        return names, sizes

    def _annotations(
        self, entries: list, names: dict, sizes: list, categories: dict
    ) -> tuple[list, list]:
        # Rows of the images and labels of the categories, by the ids of the file.
        image_row = {image_id: row for row, image_id in enumerate(names)}
        label = {category_id: row for row, category_id in enumerate(categories)}
        rows, segmentations, seen, without_area = [], [], set(), []
        for index, entry in enumerate(entries):
            reason = _annotation_fault(entry, image_row, label, seen)
            if reason:
                self._fatal('annotations', index, entry, reason)
                continue
            seen.add(entry['id'])
            x, y, w, h = entry['bbox']
            # Some tools set iscrowd for every mask in run lengths, whatever it shows.
            crowd, row = bool(entry.get('iscrowd')), image_row[entry['image_id']]
            if not self.runs_are_crowds and isinstance(entry.get('segmentation'), dict):
                crowd = False
            area = entry.get('area', w * h)
            if area <= 0 and w * h > 0:  # written by tools that know no area
                without_area.append(index)
                area = w * h
            segmentation = self._segmentation(index, entry, crowd, sizes[row])
            rows.append((
                index, row, label[entry['category_id']],
                x, y, w, h, area, crowd, bool(entry.get('ignore')),
            ))  # fmt: skip
            if self.with_mask:
                segmentations.append(segmentation)
        if without_area:
            reason = (
                f'area 0, like {len(without_area)} of {len(entries)} annotations: the area of the '
                f'box is taken; the evaluation counts these objects as small (APs)'
            )
            first = without_area[0]
            self._add('annotations', first, entries[first], reason, fatal=False)
        return rows, segmentations

    def _segmentation(
        self, index: int, entry: dict, crowd: bool, size: tuple[int, int]
    ) -> list | dict | None:
        """Polygons as arrays or an RLE dict; None where there is none or it is not needed."""
        segmentation = entry.get('segmentation')
        learned_from = self.masks_needed or not self.with_mask  # crowd regions have no mask then
        if (crowd and learned_from) or not (segmentation or self.masks_needed):
            return None
        try:
            check_segmentation(segmentation, size)
        except ValueError as error:
            need = ', which with_mask=True needs' if not segmentation else ''
            # Damaged run lengths mean a damaged file, whether or not masks are wanted.
            fatal = self.masks_needed or isinstance(segmentation, dict)
            self._add('annotations', index, entry, f'{error}{need}', fatal=fatal)
            return None
        if self.with_mask and outlines_nothing(segmentation, size):
            reason = 'its mask is empty: the segmentation lies outside the image'
            self._add('annotations', index, entry, reason, fatal=False)
        if isinstance(segmentation, list) and self.with_mask:
            return [np.array(polygon, np.float64) for polygon in segmentation]
        return segmentation

    def _check_supercategories(
        self, entries: list, categories: dict[int, str], labels: np.ndarray
    ) -> None:
        """A class of no object that is the parent of another is a heading, not a class."""
        parents = {e.get('supercategory'): e.get('name') for e in entries if isinstance(e, dict)
                   and isinstance(e.get('supercategory'), str)}  # fmt: skip
        counts = np.bincount(labels.astype(int), minlength=len(categories))
        for name, count in zip(categories.values(), counts):
            if not count and parents.get(name, name) != name:
                reason = (
                    f'{name!r} has no object and is the supercategory of {parents[name]!r}: it '
                    f'would be a class of its own. Leave it out with classes=(...)'
                )
                self.problems.append(Problem(self.path, 'categories', reason, fatal=False))

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
        return f'must be an object, not {str(entry)[:60]!r}'
    missing = [key for key in keys if key not in entry]
    return f'missing {", ".join(map(repr, missing))}' if missing else ''


def _annotation_fault(entry: object, image_row: dict, label: dict, seen: set) -> str:
    missing = _missing(entry, ('id', 'image_id', 'category_id', 'bbox'))
    if missing:
        return missing
    # 1. Values, whatever the rest of the file says.
    box, area = entry['bbox'], entry.get('area', 0)
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f'bbox must be four finite numbers [x, y, width, height], not {str(box)[:60]}'
    if box[2] < 0 or box[3] < 0:
        return f'bbox {box} has a negative size; COCO boxes are [x, y, width, height]'
    if not _is_number(area):
        return f'area must be a finite number, not {area!r}'
    for flag in ('iscrowd', 'ignore'):
        if entry.get(flag) not in _FLAGS:
            return f'{flag} must be 0 or 1, not {entry[flag]!r}'
    # 2. References to other entries.
    if not all(_is_id(entry[key]) for key in ('id', 'image_id', 'category_id')):
        return 'id, image_id and category_id must be whole numbers or texts'
    if entry['image_id'] not in image_row:
        return f'there is no image with the id {entry["image_id"]!r}'
    if entry['category_id'] not in label:
        return f'there is no category with the id {entry["category_id"]!r}'
    return 'the id is used twice' if entry['id'] in seen else ''


def _is_number(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and -_LARGEST < value < _LARGEST


def _is_id(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_index(value: object) -> bool:
    return _is_id(value) and not isinstance(value, str) and 0 <= value <= LARGEST_ID


def _is_text(value: object) -> bool:
    r"""Whether it is a text that files and terminals can hold: no lone surrogate, no \0."""
    try:
        return isinstance(value, str) and b'\0' not in value.encode() and value != ''
    except UnicodeEncodeError:
        return False
