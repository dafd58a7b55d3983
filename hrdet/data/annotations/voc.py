"""Reading PASCAL VOC's XML files as an annotation table."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from hrdet.data.annotations.coco import LONGEST_EDGE
from hrdet.data.annotations.table import AnnotationTable
from hrdet.data.errors import DataError, Problem, read_lines
from hrdet.json_files import read_bytes

_DIFFICULT = {'0': False, 'false': False, 'unspecified': False, '1': True, 'true': True}
_FLAG = re.compile(r'\s+(-1|0|1)$')  # after the names in a list of one class


def read_voc(ann_file: str, root: str) -> tuple[AnnotationTable, list[Problem]]:
    """The images that a list names as columns, and what is wrong with their XML files."""
    lines = read_lines(ann_file, 'ann_file')
    problems: list[Problem] = []
    folder = Path(root, 'Annotations')
    files = sorted(folder.glob('*.xml'))
    if not files:
        raise DataError(f'img_prefix {root}: there are no Annotations/*.xml in it')
    pages = {file.stem: _parse(file, problems) for file in files}
    # CVAT puts names with blanks into quotation marks.
    names = [line.strip().strip('"') for line in lines if line.strip()]
    # Lists of one class have a second column: -1, 0 or 1.
    names = [name if name in pages else _FLAG.sub('', name) for name in names]
    wanted = {name: pages.get(name) for name in names}
    if len(wanted) < len(names):
        reason = (
            f'{len(names) - len(wanted)} of {len(names)} names are there before: each counts once'
        )
        problems.append(Problem(ann_file, '', reason, False))
    problems += [
        Problem(ann_file, f'image {name!r}', f'no {folder / name}.xml', True)
        for name in wanted
        if name not in pages
    ]
    _check_pages([page for page in wanted.values() if page is not None], problems)
    used = [(name, page) for name, page in wanted.items() if page is not None and page.size]
    classes = sorted({o[0] for page in pages.values() if page is not None for o in page.objects})
    return _table(ann_file, used, tuple(classes)), [
        p for p in problems if p.file == ann_file or Path(p.file).stem in wanted
    ]


def read_voc_files(file: str, files: Sequence[Path]) -> tuple[AnnotationTable, list[Problem]]:
    """The images of some XML files as columns, and what is wrong with them.

    ``file`` is what messages call the table.
    """
    problems: list[Problem] = []
    pages = [page for page in (_parse(path, problems) for path in files) if page is not None]
    _check_pages(pages, problems)
    classes = sorted({o[0] for page in pages for o in page.objects})
    return _table(file, [('', page) for page in pages if page.size], tuple(classes)), problems


def _check_pages(pages: list['_Page'], problems: list[Problem]) -> None:
    stems = {Path(page.file).stem for page in pages}
    for page in pages:
        own = Path(page.file).stem
        if page.named != own and page.named in stems:
            reason = f'{page.named!r}, which has a file of its own: the image {own!r} is taken'
            reason += '; correct it if the files were renamed'
            problems.append(Problem(page.file, 'filename', reason, False))
        if page.size is None:
            reason = 'no <size> with a width and height in whole pixels above 0'
            problems.append(Problem(page.file, '', reason, True))


class _Page:
    """One XML file: ``size`` (h, w) and ``objects`` (name, x1, y1, x2, y2, difficult)."""

    __slots__ = ('file', 'file_name', 'named', 'objects', 'size')

    def __init__(self, file: Path, tree: ElementTree.Element, problems: list[Problem]):
        self.file = str(file)
        named = Path(tree.findtext('filename') or file.name)
        self.named, suffix = named.stem, named.suffix.replace('.xml', '') or '.jpg'
        self.file_name = file.stem + suffix
        # Without a size in whole pixels the page has none, which is reported later.
        self.size = None
        try:
            edges = [float(tree.findtext(f'size/{edge}')) for edge in ('height', 'width')]
            if all(0 < edge <= LONGEST_EDGE and edge.is_integer() for edge in edges):
                self.size = (int(edges[0]), int(edges[1]))
        except (TypeError, ValueError):
            pass
        self.objects = []
        for index, entry in enumerate(tree.iter('object')):
            try:
                self.objects.append(self._object(index, entry, problems))
            except ValueError as error:  # noqa: PERF203
                problems.append(Problem(self.file, f'object[{index}]', f'{error}', True))

    def _object(self, index: int, entry: ElementTree.Element, problems: list[Problem]) -> tuple:
        name = (entry.findtext('name') or '').strip()
        if not name:
            raise ValueError('no <name>')
        edges = ('xmin', 'ymin', 'xmax', 'ymax')
        texts = [entry.findtext(f'bndbox/{edge}') for edge in edges]
        if None in texts:
            raise ValueError(f'no <bndbox> with {", ".join(edges)}')
        # Both corners count from 1 and are included; continuous corners are (x1 - 1, y1 - 1, x2,
        # y2).
        x1, y1, x2, y2 = box = [float(text) for text in texts]
        if not np.isfinite(np.float32(box)).all() or x2 < x1 or y2 < y1:
            raise ValueError(f'the box (xmin, ymin, xmax, ymax) = {tuple(box)} is empty')
        if x2 == x1 or y2 == y1:
            reason = f'a box one pixel wide or high, perhaps of zero size: {tuple(box)}'
            problems.append(Problem(self.file, f'object[{index}]', reason, False))
        if self.size and (min(x1, y1) < -1 or x2 > self.size[1] + 1 or y2 > self.size[0] + 1):
            reason = f'the box {tuple(box)} leaves its image of {self.size}, as (h, w)'
            problems.append(Problem(self.file, f'object[{index}]', reason, False))
        flag = (entry.findtext('difficult') or '0').strip().lower()
        if flag not in _DIFFICULT:
            raise ValueError(f'<difficult> must be 0 or 1, not {flag!r}')
        difficult = _DIFFICULT[flag]
        return name, x1 - 1, y1 - 1, x2, y2, difficult


def _parse(file: Path, problems: list[Problem]) -> _Page | None:
    try:
        tree = ElementTree.fromstring(_decoded(read_bytes(file)))
        if tree.tag != 'annotations':
            return _Page(file, tree, problems)
        reason = 'the XML of CVAT itself: export COCO or PASCAL VOC from CVAT'
        problems.append(Problem(str(file), '', reason, True))
    except OSError as error:
        problems.append(Problem(str(file), '', f'{error.strerror}', True))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        reason = f'not XML, in the encoding that it declares or UTF-8: {error}'
        problems.append(Problem(str(file), '', reason, True))
    return None


def _decoded(data: bytes) -> bytes | str:
    """The text of a file whose encoding the parser does not know, such as GBK."""
    declared = re.match(rb'\s*<\?xml[^>]*encoding=["\']([\w.-]+)["\'][^>]*\?>', data)
    if declared is None or declared[1].lower().startswith((b'utf', b'us-ascii', b'iso-8859-1')):
        return data
    return data[declared.end() :].decode(declared[1].decode())


def _table(ann_file: str, pages: list, classes: tuple[str, ...]) -> AnnotationTable:
    label = {name: i for i, name in enumerate(classes)}
    rows = [
        (row, label[name], *box, difficult)
        for row, (_, page) in enumerate(pages)
        for name, *box, difficult in page.objects
    ]
    # One row (7,) for each box: image, label, x1, y1, x2, y2, difficult.
    table = np.array(rows, np.float64).reshape(-1, 7)
    boxes = table[:, 2:6].astype(np.float32)
    return AnnotationTable(
        file=ann_file,
        image_ids=list(range(len(pages))),
        file_names=[page.file_name for _, page in pages],
        sizes=np.array([page.size for _, page in pages], np.int64).reshape(-1, 2),
        category_ids=tuple(range(1, len(classes) + 1)),
        classes=classes,
        image_rows=table[:, 0].astype(np.int64),
        boxes=boxes,
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1).astype(np.float64),
        labels=table[:, 1].astype(np.int64),
        crowd=table[:, 6] != 0,
        flagged=np.zeros(len(rows), bool),
    )
