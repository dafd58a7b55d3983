"""Damaged annotations of boxes: COCO, VOC and YOLO, and a plain reading of each to compare with."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np

from benchmarks.reliability import materials
from benchmarks.reliability.cases import Case, Wrong
from benchmarks.reliability.materials import Draw
from benchmarks.reliability.reading import use
from hrdet.data import DataError
from hrdet.data.formats.recognise import recognise_labels
from hrdet.data.formats.write import convert_labels


def coco(base: Path, draw: Draw, number: int) -> Case:
    masks = number % 2 == 0
    file = 'annotations/instances_train.json'
    text = (base / 'coco' / file).read_text()
    content = json.loads(text)
    if number % 6 == 5:
        name, data = materials.damaged_bytes(text.encode(), draw)
    else:
        name, content = _mutated(content, draw)
        data = json.dumps(content).encode()

    def work(folder: Path) -> None:
        materials.copy(base / 'coco', folder)
        (folder / file).write_bytes(data)
        node = dict(type='CocoDataset', ann_file=file, img_prefix='train', min_size=8)
        metrics = ['bbox', 'segm'] if masks else ['bbox']
        train = node | dict(with_mask=masks)
        used = use(
            train,
            node | dict(with_mask=masks, test_mode=True),
            dict(type='CocoMetric', metrics=metrics),
        )
        compare_with_coco(used, json.loads(data))

    return Case(
        f'coco {number}{" with masks" if masks else ""}: {name}', work, (Path(file).name, '.jpg')
    )


def _mutated(content: dict, draw: Draw) -> tuple[str, dict]:
    """One value of a COCO file changed, removed, or repeated."""
    paths = [p for p in materials.paths_in(content) if p[0] != 'info']
    # Long lists of numbers would take nearly all draws.
    depth = draw.choice([1, 2, 3, 3, 3, 4, 5, 6])
    path = draw.choice([p for p in paths if len(p) == depth] or paths)
    value = materials.at(content, path)
    kind = draw.choice(['value', 'value', 'value', 'drop', 'repeat', 'number', 'run lengths'])
    if kind == 'run lengths':
        path = ('annotations', draw.randrange(len(content['annotations'])), 'segmentation')
        h, w = materials.SIZE
        value = draw.choice(_RUNS)
        value = dict(value) if isinstance(value, dict) else value
        if isinstance(value, dict) and value.get('size') == 'size':
            value['size'] = [h, w]
        materials.change(content, path, value)
        if draw.random() < 0.3:
            materials.change(
                content, (*path[:-1], 'iscrowd'), draw.choice([1, True, '1', '0', 0.5])
            )
        return f'{materials.spell(path)} = {str(value)[:60]}', content
    if kind == 'drop':
        materials.drop(content, path)
        return f'without {materials.spell(path)}', content
    if kind == 'repeat' and isinstance(materials.at(content, path[:-1]), list):
        materials.at(content, path[:-1]).append(value)
        return f'{materials.spell(path)} twice', content
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == 'number' and number:
        new = draw.choice(
            [-value, value * 1000, value + 0.5, str(value), [value], value * 10**12, 10**400]
        )
    else:
        new = draw.choice(materials.VALUES)
    materials.change(content, path, new)
    return f'{materials.spell(path)} = {str(new)[:60]!r}', content


_AREA = materials.SIZE[0] * materials.SIZE[1]
_RUNS = (
    dict(size='size', counts=[10, 5]),
    dict(size='size', counts=[]),
    dict(size='size', counts=''),
    dict(size='size', counts=[1.5, 3.5]),
    dict(size='size', counts=[10, 5, _AREA - 15]),
    dict(size='size', counts=[10, -5, _AREA - 5]),
    dict(size='size', counts=[10, 2**32 + 5, 3]),
    dict(size='size', counts='abc'),
    dict(size='size', counts='0' * 4000),
    dict(size='size', counts='ö'),
    dict(size=[2**31, 2**31], counts=[2**62]),
    dict(size=[80, 64], counts=[10, 5, _AREA - 15]),
    dict(size='size'),
    dict(counts=[10, 5, _AREA - 15]),
    dict(size='size', counts=None),
    dict(size='size', counts=[True, 5, _AREA - 6]),
    dict(size='size', counts=[[10, 5, _AREA - 15]]),
    dict(size='6480', counts=[_AREA]),
    dict(size='size', counts=['10', '5']),
    [[1, 1, 20, 1, 4e8, 20]],
    [[1, 1, 20, 1, -(2**31), 20]],
    [[1, 1, 1e9, 1, 20, 20]],
    [[1, 1, float('nan'), 1, 20, 20]],
    [[1, 1, 20, 1, 20]],
    [[1, 1, 20, 1]],
    [[]],
    [1, 1, 20, 1, 20, 20],
    [[[1, 1], [20, 1], [20, 20]]],
    [['1', '1', '20', '1', '20', '20']],
    [[500, 500, 520, 500, 520, 520]],
    'polygon',
    5,
    [None],
)


def compare_with_coco(dataset: Any, content: dict) -> None:
    """Compare boxes, classes and masks with those of the file, and the counts of the report."""
    names = {e['id']: e['file_name'] for e in content['images']}
    classes = {e['id']: e['name'] for e in content['categories']}
    told, masks = Counter(), {}
    for entry in content['annotations']:
        x, y, w, h = entry['bbox']
        corners = tuple(np.float32([x, y, x + w, y + h]).tolist())
        key = names[entry['image_id']], classes[entry['category_id']], corners
        told[key] += 1
        masks[key] = entry.get('segmentation')
    compare_boxes(dataset, told, len(content['annotations']))
    for name, label, box, mask in masks_of(dataset):
        compare_mask(f'{name} {label}', masks[name, label, box], mask)


def compare_boxes(dataset: Any, told: Counter, total: int) -> None:
    """Every box is one of the file's, and what is not there was reported."""
    seen = Counter()
    for index in range(len(dataset)):
        truth, name = dataset.truth(index), dataset.table.file_names[index]
        if not truth.boxes.size == 4 * len(truth.labels) or not np.isfinite(truth.boxes).all():
            raise Wrong(f'{name}: boxes {truth.boxes}')
        for box, label in zip(truth.boxes.tolist(), truth.labels.tolist()):
            seen[name, dataset.classes[label], tuple(box)] += 1
        seen['crowd'] += len(truth.ignored)
    crowds = seen.pop('crowd', 0)
    invented = seen - told
    if invented:
        raise Wrong(f'boxes that the file does not have: {list(invented)[:2]}')
    report = dataset.reports[0]
    dropped = sum(report.dropped_boxes.values())
    if sum(seen.values()) + crowds + dropped != total:
        raise Wrong(f'{sum(seen.values())} boxes, {crowds} crowds, {dropped} dropped, of {total}')


def masks_of(dataset: Any) -> Iterator[tuple[str, str, tuple, np.ndarray]]:
    """(image, class, box, mask) of every object that has a mask."""
    for index in range(len(dataset)):
        truth = dataset.truth(index)
        for box, label, mask in zip(
            truth.boxes.tolist(),
            truth.labels.tolist(),
            truth.masks if truth.masks is not None else (),
        ):
            yield dataset.table.file_names[index], dataset.classes[label], tuple(box), mask


def compare_mask(where: str, segmentation: Any, mask: np.ndarray) -> None:
    """A mask against OpenCV's drawing of the polygons, or the sum of the runs."""
    if mask.max(initial=0) > 1:
        raise Wrong(f'{where}: a mask with the value {mask.max()}')
    area = int(mask.sum())
    if isinstance(segmentation, dict) and isinstance(segmentation['counts'], list):
        if area != sum(segmentation['counts'][1::2]):
            raise Wrong(f'{where}: {area} pixels of {sum(segmentation["counts"][1::2])}')
    elif isinstance(segmentation, list):
        # Sixteen times larger, each part filled with OpenCV's own rule, clipped at the border.
        h, w = mask.shape
        canvas = np.zeros((h * 8, w * 8), np.uint8)
        length = 0.0
        for polygon in segmentation:
            points = (
                np.clip(np.reshape(polygon, (-1, 2)) * 8, -(2**15), 2**15).round().astype(np.int32)
            )
            cv2.fillPoly(canvas, [points], 1)
            length += cv2.arcLength(points, True) / 8
        if abs(area - canvas.sum() / 64) > length + 4:
            raise Wrong(f'{where}: {area} pixels, its polygons have {canvas.sum() / 64:.0f}')


def voc(base: Path, draw: Draw, number: int) -> Case:
    listed = 'ImageSets/Main/train.txt'
    stems = (base / 'voc' / listed).read_text().split()
    file = f'Annotations/{draw.choice(stems)}.xml'
    if number % 6 == 5:
        file = listed
    text = (base / 'voc' / file).read_text()
    if number % 3 == 2:
        name, data = materials.damaged_bytes(text.encode(), draw)
    else:
        name, data = _mutated_xml(text, draw) if file != listed else ('sound', text.encode())

    def work(folder: Path) -> None:
        materials.copy(base / 'voc', folder)
        (folder / file).write_bytes(data)
        node = dict(type='VOCDataset', ann_file=listed, img_prefix='.', min_size=8)
        used = use(node, node | dict(test_mode=True), dict(type='CocoMetric', metrics=['bbox']))
        _compare_with_voc(used, folder)

    return Case(
        f'voc {number}: {file} {name}', work, (Path(file).name, '.xml', '.jpg', 'train.txt')
    )


_XML_VALUES = (
    '',
    'nan',
    'inf',
    '-1',
    '0',
    '1e400',
    '1e23',
    '3.5',
    '١٢',
    'x',
    '&#0;',
    '99999999999999999999',
    '5',
    '70',
    '../../etc/passwd',
    '<b/>',
    '&lol;',
    ' 12 ',
    '0x10',
    '1,5',
    'true',
)


# Each entity of the last names the one before it twice.
_DECLARATIONS = (
    '<?xml version="1.0" encoding="UTF-16"?>',
    '<?xml version="1.0" encoding="gbk"?>',
    '<!DOCTYPE a [<!ENTITY lol SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a [<!ENTITY a0 "lollollol">'
    + ''.join(f'<!ENTITY a{i} "&a{i - 1};&a{i - 1};">' for i in range(1, 30))
    + ']>',
)


def _mutated_xml(text: str, draw: Draw) -> tuple[str, bytes]:
    kind = draw.choice(['text', 'text', 'text', 'drop', 'repeat', 'declare'])
    elements = list(re.finditer(r'<(\w+)>([^<]*)</\1>', text))
    element = draw.choice(elements)
    if kind == 'drop':
        return f'without {element[0]}', (text[: element.start()] + text[element.end() :]).encode()
    if kind == 'repeat':
        return f'{element[0]} twice', (
            text[: element.end()] + element[0] + text[element.end() :]
        ).encode()
    if kind == 'declare':
        head = draw.choice(_DECLARATIONS)
        return f'{head[:60]}', (head + re.sub(r'<\?.*?\?>', '', text)).encode()
    value = draw.choice(_XML_VALUES)
    changed = f'<{element[1]}>{value}</{element[1]}>'
    return f'{element[0]} = {value!r}', (
        text[: element.start()] + changed + text[element.end() :]
    ).encode()


def _compare_with_voc(dataset: Any, folder: Path) -> None:
    told, total = Counter(), 0
    lines = (folder / 'ImageSets/Main/train.txt').read_text('utf-8-sig').splitlines()
    # A name that is listed twice counts once, which a warning says.
    for name in dict.fromkeys(line.split()[0] for line in lines if line.split()):
        text = (folder / 'Annotations' / f'{name}.xml').read_bytes()
        # The inputs are ASCII, whatever they declare.
        text = (
            text.decode('utf-16') if text.startswith((b'\xff\xfe', b'\xfe\xff')) else text.decode()
        )
        root = ElementTree.fromstring(re.sub(r'<\?.*?\?>', '', text))
        image = next((n for n in dataset.table.file_names if Path(n).stem == name), '')
        for entry in root.iter('object'):
            box = [
                float(entry.find('bndbox').find(key).text)
                for key in ('xmin', 'ymin', 'xmax', 'ymax')
            ]
            x1, y1 = box[0] - 1, box[1] - 1
            corners = np.float32([x1, y1, max(box[2], x1 + 1), max(box[3], y1 + 1)])
            told[image, entry.find('name').text.strip(), tuple(corners.tolist())] += 1
            total += 1
    compare_boxes(dataset, told, total)


def yolo(base: Path, draw: Draw, number: int) -> Case:
    texts = (base / 'yolo').rglob('*.txt')
    files = sorted(p.relative_to(base / 'yolo') for p in texts if p.stat().st_size)
    file = Path('data.yaml') if number % 4 == 3 else draw.choice(files)
    text = (base / 'yolo' / file).read_text()
    if number % 3 == 2:
        name, data = materials.damaged_bytes(text.encode(), draw)
    else:
        words = text.split(' ')
        position = draw.randrange(len(words))
        new = draw.choice([*_XML_VALUES, '1.5', '-0.5', '1e-9', '7', '5.5', '0.5 0.5', '\n'])
        name = f'{words[position]!r} = {new!r}'
        data = ' '.join([*words[:position], new, *words[position + 1 :]]).encode()

    def work(folder: Path) -> None:
        materials.copy(base / 'yolo', folder / 'in')
        (folder / 'in' / file).write_bytes(data)
        read = recognise_labels('in')
        if read is None:
            raise DataError(f'{file}: not recognised as labels')
        convert_labels('in', 'out', 'coco')
        node = dict(
            type='CocoDataset',
            ann_file='out/annotations/train.json',
            img_prefix='out/images/train',
            min_size=8,
        )
        used = use(node, node | dict(test_mode=True), dict(type='CocoMetric', metrics=['bbox']))
        _compare_with_yolo(used, folder / 'in', draw)

    return Case(f'yolo {number}: {file} {name}', work, (file.name, '.txt', '.yaml', 'train.json'))


def _compare_with_yolo(dataset: Any, folder: Path, draw: Draw) -> None:
    # The rows of a file as plain numbers; a polygon counts by its bounds.
    count = 0
    for index in range(len(dataset)):
        name = dataset.table.file_names[index]
        lines = (
            (folder / 'labels/train' / name).with_suffix('.txt').read_text('utf-8-sig').splitlines()
        )
        rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
        h, w = dataset.sizes[index]
        expected = []
        for label, *numbers in rows:
            if len(numbers) == 4:
                x, y, bw, bh = numbers
                expected.append(
                    (
                        int(label),
                        (x - bw / 2) * w,
                        (y - bh / 2) * h,
                        (x + bw / 2) * w,
                        (y + bh / 2) * h,
                    )
                )
            else:
                xs, ys = numbers[0::2], numbers[1::2]
                expected.append((int(label), min(xs) * w, min(ys) * h, max(xs) * w, max(ys) * h))
        truth = dataset.truth(index)
        count += len(truth.labels)
        for box, label in zip(truth.boxes.tolist(), truth.labels.tolist()):
            near = [np.abs(np.subtract(box, e[1:])).max() < 0.6 for e in expected if e[0] == label]
            if not any(near):
                raise Wrong(f'{name}: the box {box} of class {label} is in no line')
    report = dataset.reports[0]
    if count + report.crowds_kept + sum(report.dropped_boxes.values()) != report.boxes:
        raise Wrong(f'{report}')
