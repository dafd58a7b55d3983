"""236 image files: cut, flipped, of odd depths, with EXIF marks, claiming huge sizes.

Each is read by a training of each task (the check before the first iteration, then the pixels) and
by the Python API.  What is accepted is compared with Pillow's reading of the sound file.
"""

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from benchmarks.reliability import materials
from benchmarks.reliability.cases import Case, Wrong
from benchmarks.reliability.materials import Draw
from hrdet.data import ClassFolders, CocoDataset, DataError, LabelMapDataset, check_images
from hrdet.data.inputs import read_image

COUNT = 236
_FORMATS = ('jpg', 'png', 'bmp', 'tif', 'webp', 'ppm')
_CHECKED = ('png',)  # formats with a checksum: what is accepted must be what was written


def cases(base: Path, seed: int, count: int = COUNT) -> Iterator[Case]:
    """The campaign."""
    source = cv2.imread(str(next((base / 'coco/train').glob('*.jpg'))))
    makers = [_cut, _cut, _cut, _flip, _flip, _odd, _odd, _turned, _bomb, _archive]
    for number in range(count):
        draw = Draw(seed, 'images', number)
        yield makers[number % len(makers)](source, draw, number)


def encoded(image: np.ndarray, suffix: str) -> bytes:
    """An image file."""
    return cv2.imencode(f'.{suffix}', image)[1].tobytes()


def sound(data: bytes) -> np.ndarray:
    """The pixels (h, w, 3) BGR of a file, upright, by Pillow."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(ImageOps.exif_transpose(picture).convert('RGB'))[..., ::-1]


def use(
    suffix: str, data: bytes, expected: np.ndarray | None, size: tuple[int, int] = materials.SIZE
) -> None:
    """Read a file in every way.

    Raises:
        DataError: all of them refuse it.
        Wrong: some refuse it and others do not, or its pixels are not those ``expected``.
    """
    name = f'image.{suffix}'
    _write_sets(name, data, size)
    readers: dict[str, Callable[[], np.ndarray]] = {
        'detection': lambda: _checked(
            CocoDataset('coco.json', 'images/a', filter_empty=False, min_size=1, exif='apply')
        ),
        'classification': lambda: _checked(ClassFolders(data_prefix='images')),
        'segmentation': lambda: _checked(
            LabelMapDataset(
                img_dir='images/a', ann_dir='maps', classes=('a',), img_suffix=f'.{suffix}'
            )
        ),
        'API, file': lambda: read_image(os.path.join('images/a', name)),
        'API, bytes': lambda: read_image(data),
    }
    results = {reader: _attempt(read) for reader, read in readers.items()}
    refusals = {reader: f'{one}' for reader, one in results.items() if isinstance(one, DataError)}
    pixels = {reader: one for reader, one in results.items() if reader not in refusals}
    for reader, text in refusals.items():
        if name not in text and reader != 'API, bytes':
            raise Wrong(f'{reader}: {text} does not name the file')
    for reader, one in pixels.items():
        if expected is not None and (one.shape != expected.shape or _differ(one, expected, suffix)):
            raise Wrong(f'{reader}: {_difference(one, expected)}')
    if refusals and pixels:
        raise Wrong(
            f'refused by {list(refusals)} ({next(iter(refusals.values()))}), read by {list(pixels)}'
        )
    if refusals:
        raise DataError(next(iter(refusals.values())))


def _attempt(read: Callable[[], np.ndarray]) -> np.ndarray | DataError:
    try:
        return read()
    except DataError as error:
        return error


def _write_sets(name: str, data: bytes, size: tuple[int, int]) -> None:
    for folder in ('images/a', 'maps'):
        Path(folder).mkdir(parents=True, exist_ok=True)
    Path('images/a', name).write_bytes(data)
    h, w = size
    cv2.imwrite(str(Path('maps', name).with_suffix('.png')), np.zeros(size, np.uint8))
    Path('coco.json').write_text(
        f'{{"images": [{{"id": 1, "file_name": "{name}", "width": {w}, "height": {h}}}], '
        '"annotations": [], "categories": [{"id": 1, "name": "a"}]}'
    )


def _checked(dataset: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        check_images(dataset)
    return dataset.image(0)


def _differ(one: np.ndarray, expected: np.ndarray, suffix: str) -> bool:
    difference = np.abs(one.astype(int) - expected)
    # Decoders of lossy files differ in rounding and in how colours are enlarged.
    return difference.mean() > 3 if suffix in ('jpg', 'webp') else bool(difference.max() > 0)


def _difference(one: np.ndarray, expected: np.ndarray) -> str:
    if one.shape != expected.shape:
        return f'{one.shape}, not {expected.shape}'
    difference = np.abs(one.astype(int) - expected)
    return (
        f'{(difference.max(-1) > 24).mean():.0%} of the pixels differ, by up to {difference.max()}'
    )


# ------------------------------------------------------------------------------------------- kinds


def _cut(image: np.ndarray, draw: Draw, number: int) -> Case:
    suffix = draw.choice(_FORMATS)
    data = encoded(image, suffix)
    keep = draw.randrange(len(data)) if draw.random() < 0.8 else len(data) - draw.randrange(1, 20)
    tail = draw.choice([b'', b'', bytes(len(data) - keep), b'\xff\xd9'])
    cut = data[:keep] + tail
    # Zeros of the right length are pixels, where a format has no checksum.
    findable = suffix in _CHECKED or len(cut) < len(data)
    expected = sound(data) if findable else None

    def work(folder: Path) -> None:
        use(suffix, cut, expected)

    return Case(f'{number} {suffix} cut after {keep} of {len(data)}, {len(tail)} bytes added', work)


def _flip(image: np.ndarray, draw: Draw, number: int) -> Case:
    suffix = draw.choice(_FORMATS)
    data = bytearray(encoded(image, suffix))
    flips = draw.choice([1, 2, 8])
    near = draw.choice([len(data), 64, 600])  # anywhere, or in the headers
    for _ in range(flips):
        data[draw.randrange(min(near, len(data)))] ^= 1 << draw.randrange(8)
    changed = bytes(data)
    # Only a checksum finds every flipped bit; of other formats any picture, or a refusal, is right.
    expected = sound(encoded(image, suffix)) if suffix in _CHECKED else None

    def work(folder: Path) -> None:
        use(suffix, changed, expected)

    return Case(f'{number} {suffix} {flips} bits flipped in the first {near} bytes', work)


def _odd(image: np.ndarray, draw: Draw, number: int) -> Case:
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    rgb = Image.fromarray(image[..., ::-1].copy())
    odd: dict[str, tuple[str, Callable[[], bytes], bool]] = {
        'empty': ('png', lambda: b'', False),
        'noise': ('jpg', lambda: bytes(draw.randrange(256) for _ in range(900)), False),
        'a web page': ('jpg', lambda: b'<!DOCTYPE html><html></html>', False),
        'an LFS pointer': ('jpg', lambda: b'version https://git-lfs.github.com/spec/v1\n', False),
        'grey': ('png', lambda: encoded(grey, 'png'), True),
        'alpha': ('png', lambda: encoded(np.dstack([image, grey]), 'png'), True),
        '16 bits': ('png', lambda: encoded(image.astype(np.uint16) * 257, 'png'), True),
        '16 bits, grey': ('tif', lambda: encoded(grey.astype(np.uint16) * 257, 'tif'), True),
        '12 bits in 16': ('png', lambda: encoded(image.astype(np.uint16) * 15, 'png'), False),
        'float': ('tif', lambda: encoded(image.astype(np.float32) / 255, 'tif'), False),
        'a palette': ('png', lambda: saved(rgb.quantize(64), 'PNG'), True),
        'a palette with gaps': ('png', lambda: saved(rgb.quantize(3), 'PNG'), True),
        'one bit': ('png', lambda: saved(rgb.convert('1'), 'PNG'), True),
        'CMYK': ('jpg', lambda: saved(rgb.convert('CMYK'), 'JPEG', quality=97), True),
        'progressive': ('jpg', lambda: saved(rgb, 'JPEG', quality=97, progressive=True), True),
        'grey JPEG': ('jpg', lambda: saved(rgb.convert('L'), 'JPEG', quality=97), True),
        'a PNG named .jpg': ('jpg', lambda: encoded(image, 'png'), True),
        'a JPEG named .png': ('png', lambda: saved(rgb, 'JPEG', quality=97), None),
        'GIF named .png': ('png', lambda: saved(rgb.quantize(16), 'GIF'), True),
        'interlaced by hand': ('png', lambda: _interlaced(image), False),
        'one pixel': ('png', lambda: encoded(image[:1, :1], 'png'), True),
        'a line': ('png', lambda: encoded(image[:1], 'png'), True),
        'a thumbnail within': ('jpg', lambda: _with_thumbnail(rgb), True),
        'two frames': (
            'tif',
            lambda: saved(rgb, 'TIFF', save_all=True, append_images=[rgb.convert('L')]),
            True,
        ),
    }
    name = draw.choice(list(odd))
    suffix, make, readable = odd[name]
    data = make()

    def work(folder: Path) -> None:
        expected = None
        if readable:
            expected = sound(data) if name not in ('16 bits', '16 bits, grey') else None
        size = materials.SIZE
        if name in ('one pixel', 'a line'):
            size = (1, 1 if name == 'one pixel' else 80)
        use(suffix, data, expected, size)
        if readable is False:
            raise Wrong(f'{name}: accepted')

    def tolerated(folder: Path) -> None:
        try:
            work(folder)
        except DataError:
            if readable:
                raise Wrong(f'{name}: refused, but it is sound') from None
            raise

    return Case(f'{number} {suffix} {name}', tolerated)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """An image file by Pillow."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _interlaced(image: np.ndarray) -> bytes:
    # A header that says interlaced before data that are not.
    data = bytearray(encoded(image, 'png'))
    data[28] = 1
    data[29:33] = struct.pack('>I', zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def _with_thumbnail(picture: Image.Image) -> bytes:
    small = saved(picture.resize((16, 12)), 'JPEG')
    data = saved(picture, 'JPEG', quality=97)
    block = b'Thumb\0' + small
    return data[:2] + b'\xff\xe5' + struct.pack('>H', len(block) + 2) + block + data[2:]


def _turned(image: np.ndarray, draw: Draw, number: int) -> Case:
    orientation = draw.choice([1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 255])
    kind = draw.choice(['JPEG', 'JPEG', 'PNG', 'WEBP', 'TIFF'])
    exif = Image.Exif()
    exif[0x112] = orientation
    data = saved(Image.fromarray(image[..., ::-1].copy()), kind, exif=exif.tobytes(), quality=97)
    suffix = dict(JPEG='jpg', PNG='png', WEBP='webp', TIFF='tif')[kind]
    broken = kind == 'JPEG' and draw.random() < 0.3
    if broken:  # bytes of the EXIF block: an unreadable mark counts as none
        changed = bytearray(data)
        changed[draw.randrange(6, 60)] ^= 1 << draw.randrange(8)
        data = bytes(changed)

    def work(folder: Path) -> None:
        expected = None if broken else sound(data)
        size = materials.SIZE if expected is None else expected.shape[:2]
        use(suffix, data, expected, size)

    return Case(f'{number} {suffix} orientation {orientation}{", damaged" if broken else ""}', work)


def _bomb(image: np.ndarray, draw: Draw, number: int) -> Case:
    side = draw.choice([20000, 32767, 65500, 2**20 + 1, 2**31 - 1])

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack('>I', len(content))
            + kind
            + content
            + struct.pack('>I', zlib.crc32(kind + content))
        )

    def png() -> bytes:
        header = struct.pack('>IIBBBBB', side, side, 1, 0, 0, 0, 0)
        content = zlib.compress(bytes(1 << 20), 9)
        return (
            b'\x89PNG\r\n\x1a\n'
            + chunk(b'IHDR', header)
            + chunk(b'IDAT', content)
            + chunk(b'IEND', b'')
        )

    def jpeg() -> bytes:
        data = bytearray(encoded(image, 'jpg'))
        start = data.index(b'\xff\xc0')
        data[start + 5 : start + 9] = struct.pack('>HH', min(side, 65500), min(side, 65500))
        return bytes(data)

    def bmp() -> bytes:
        data = bytearray(encoded(image, 'bmp'))
        data[18:26] = struct.pack('<ii', side, side)
        return bytes(data)

    def text() -> bytes:
        return f'P6 {side} {side} 255\n'.encode() + bytes(100)

    def tiff() -> bytes:
        picture = io.BytesIO()
        Image.new('1', (min(side, 20000), min(side, 20000))).save(
            picture, 'TIFF', compression='group4'
        )
        return picture.getvalue()

    suffix, make = draw.choice(
        [('png', png), ('jpg', jpeg), ('bmp', bmp), ('ppm', text), ('tif', tiff)]
    )

    def work(folder: Path) -> None:
        use(suffix, make(), None)
        raise Wrong('accepted')

    return Case(f'{number} {suffix} claims {side} x {side}', work)


def _archive(image: np.ndarray, draw: Draw, number: int) -> Case:
    kind = draw.choice(['one byte of the member', 'cut', 'a bomb', 'two members of one name'])
    data = encoded(image, 'png')

    def work(folder: Path) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(
            packed, 'w', zipfile.ZIP_STORED if kind != 'a bomb' else zipfile.ZIP_DEFLATED
        ) as file:
            file.writestr('a/image.png', bytes(1 << 28) * 9 if kind == 'a bomb' else data)
            if kind == 'two members of one name':
                with warnings.catch_warnings():
                    warnings.simplefilter('ignore')
                    file.writestr('a/image.png', data[:50])
        content = bytearray(packed.getvalue())
        if kind == 'one byte of the member':
            content[60 + draw.randrange(len(data) - 60)] ^= 4
        Path('images.zip').write_bytes(content[: len(content) // 2] if kind == 'cut' else content)
        reads = (lambda: _checked(ClassFolders(data_prefix='images.zip')), _coco_in_zip)
        results = [_attempt(read) for read in reads]
        accepted = [one for one in results if not isinstance(one, DataError)]
        if accepted:
            raise Wrong(f'accepted by {len(accepted)} of {len(results)}')
        for one in results:
            if 'images.zip' not in str(one):
                raise Wrong(f'{one} does not name the file')
        raise results[0]

    return Case(f'{number} zip: {kind}', work, ('images.zip',))


def _coco_in_zip() -> np.ndarray:
    _write_sets('image.png', b'', materials.SIZE)
    return _checked(CocoDataset('coco.json', 'images.zip', filter_empty=False, min_size=1))
