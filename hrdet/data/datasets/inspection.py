"""Check every image and truth of a data set before training.

Findings are cached: a file whose size and modification time are the same is not read again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from torch.utils.data import DataLoader, Dataset

from hrdet.data.datasets.damage import FIRST_ONLY, check_depth, jpeg_damage, native_messages
from hrdet.data.datasets.headers import read_header
from hrdet.data.datasets.listing import load_listing, save_listing
from hrdet.data.errors import DataError, Problem, raise_or_warn
from hrdet.messages import plural
from hrdet.progress import track

if TYPE_CHECKING:
    from hrdet.data.datasets.base import ImageDataset

_logger = logging.getLogger('hrdet')
_IN_PARALLEL_FROM = 256  # images; starting workers takes longer than to read fewer
_REMEMBERED_FROM = 1000  # images
_ALL_UP_TO = 200_000  # images: more take an hour to read, such as those of ImageNet


@dataclass(slots=True)
class Findings:
    """One image and its truth, as far as a training depends on them."""

    error: str = ''  # what stops a training
    size: tuple[int, int] | None = None  # (h, w) as it is loaded
    orientation: int = 1  # of EXIF
    bits: int = 8  # of one sample in the file
    more_frames: bool = False  # which are not read
    digest: str = ''  # of its file
    values: dict[int, int] = field(default_factory=dict)  # pixels of each value of its label map


def inspect(
    dataset: 'ImageDataset', indices: Sequence[int] | None = None, workers: int = 0
) -> Iterator[Findings]:
    """The findings of some images, or of all, in order.

    ``workers`` processes read them where there are many; what earlier calls found of unchanged
    files is taken from the cache folder.
    """
    # 1. What is cached about unchanged files; only the others are read.
    indices = range(len(dataset)) if indices is None else indices
    memory = _Memory(dataset) if len(indices) >= _REMEMBERED_FROM else None
    stamps = [dataset.stamp(index) if memory is not None else '' for index in indices]
    known = {} if memory is None else memory.entries
    new = [i for i, stamp in zip(indices, stamps) if stamp not in known]
    workers = min(workers, os.cpu_count() or 1) if len(new) >= _IN_PARALLEL_FROM else 0
    loader = DataLoader(
        _Inspection(dataset, new),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_start,
    )
    # 2. In the order of the indices: cached findings, and new ones as the workers deliver them.
    new_findings = iter(loader)
    for index, stamp in zip(indices, stamps):
        findings = Findings(**known[stamp]) if stamp in known else next(new_findings)
        # Errors are not cached: the user repairs the file, perhaps without a new time stamp.
        if memory is not None and stamp and stamp not in known and not findings.error:
            memory.added[stamp] = asdict(findings)
        _check_resize(dataset, index, findings)
        yield findings
    if memory is not None:
        memory.save()


def check_images(dataset: 'ImageDataset', everything: bool = True, workers: int = 0) -> None:
    """Check all images of a data set, or 16 spread over it, before training begins.

    Of a data set with more than 200,000 images 16 are checked in any case, and a line says so.

    Raises:
        DataError: one of them cannot be used; what is doubtful is a ``DataWarning``.
    """
    for part, indices, findings in _inspected(dataset, everything, workers):
        raise_or_warn(conclude(part, indices, findings))


def bad_images(
    dataset: 'ImageDataset', everything: bool = True, workers: int = 0
) -> dict[str, str]:
    """``check_images``; but the images that cannot be used are returned, with the reason."""
    bad = {}
    for part, indices, findings in _inspected(dataset, everything, workers):
        bad |= {part.path(i): one.error for i, one in zip(indices, findings) if one.error}
        problems = conclude(part, indices, findings)
        raise_or_warn([problem for problem in problems if not problem.fatal])
    return bad


def _inspected(
    dataset: 'ImageDataset', everything: bool, workers: int
) -> Iterator[tuple['ImageDataset', list[int], list[Findings]]]:
    """The findings of all images, or of 16, of each part."""
    for part in dataset.parts():
        whole = everything and len(part) <= _ALL_UP_TO
        count = len(part) if whole else min(16, len(part))
        if everything and not whole:
            _logger.info(
                '%s: %d of %d images checked; hrdet check --config CONFIG checks all',
                part.source,
                count,
                len(part),
            )
        indices = np.linspace(0, len(part) - 1, count).round().astype(int).tolist()
        findings = list(track(inspect(part, indices, workers), f'checking {part.source}', count))
        yield part, indices, findings


def conclude(
    dataset: 'ImageDataset', indices: Sequence[int], findings: Sequence[Findings]
) -> list[Problem]:
    """Errors of single images and truths, and warnings about all of them together."""
    # 1. Errors of single images; 2. EXIF orientation; 3. bit depth; 4. frames; 5. copies; 6. doubts
    #    of the data set.
    problems = [Problem('', '', one.error, fatal=True) for one in findings if one.error]
    turned = [i for i, one in zip(indices, findings) if one.orientation != 1]
    if turned:
        reason = (
            f'{len(turned)} of {plural(len(findings), "image")} have an EXIF orientation that is '
            f'not upright, such as {dataset.path(turned[0])}'
        )
        consequence = dataset.about_orientation()
        if consequence:
            problems.append(Problem(dataset.source, '', f'{reason}: {consequence}', fatal=False))
    deep = [i for i, one in zip(indices, findings) if one.bits > 8 and not one.error]
    if deep:
        reason = (
            f'{len(deep)} of {plural(len(findings), "image")} have more than 8 bits a sample, such '
            f'as {dataset.path(deep[0])}: the upper 8 are used'
        )
        problems.append(Problem(dataset.source, '', reason, fatal=False))
    several = [i for i, one in zip(indices, findings) if one.more_frames and not one.error]
    if several:
        reason = (
            f'{len(several)} of {plural(len(findings), "image")} have several frames or pages, '
            f'such as {dataset.path(several[0])}: {FIRST_ONLY}'
        )
        problems.append(Problem(dataset.source, '', reason, fatal=False))
    problems += _copies(dataset, indices, findings)
    return problems + dataset.doubts(findings, whole=len(findings) == len(dataset))


def _copies(
    dataset: 'ImageDataset', indices: Sequence[int], findings: Sequence[Findings]
) -> list[Problem]:
    """A warning about files that are copies of another; about those of two classes, if any are."""
    first: dict[str, int] = {}
    named = [(one.digest, i) for i, one in zip(indices, findings) if one.digest]
    pairs = [(first.setdefault(content, i), i) for content, i in named]
    pairs = [(a, b) for a, b in pairs if a != b and dataset.path(a) != dataset.path(b)]
    labels = dataset.labels
    differ = [(a, b) for a, b in pairs if labels is not None and labels[a] != labels[b]]
    if not pairs:
        return []
    a, b = (differ or pairs)[0]
    reason = (
        f'{len(differ or pairs)} of {plural(len(findings), "image")} are copies of another'
        f'{" of another class" if differ else ""}, such as {dataset.path(b)} of {dataset.path(a)}: '
        f'what one is labelled as, the other is not; remove one of them'
    )
    return [Problem(dataset.source, '', reason, fatal=False)]


def digest(data: bytes) -> str:
    """The same for the same bytes alone."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def examine(dataset: 'ImageDataset', index: int) -> Findings:
    """The findings of one image."""
    # 1. The image and its truth; the first error of either counts.
    findings = Findings()
    with native_messages() as messages:
        try:
            place = dataset.file(index)
            try:
                data = place[0].read(place[1]) if place is not None else b''
            except DataError:
                data = b''  # ``image`` meets the same error and says who names the file
            findings.digest = digest(data) if data else ''
            header = read_header(data) if data else None
            if header is not None:
                findings.bits, findings.orientation = header.bits, header.orientation
                findings.more_frames = header.more_frames
            findings.size = dataset.image(index).shape[:2]
            if findings.bits > 8:
                check_depth(data, dataset.path(index))
        except DataError as error:
            findings.error = str(error)
        try:
            findings.values = dataset.inspect_truth(index, findings.size)
        except DataError as error:
            findings.error = findings.error or str(error)
    # 2. Damage that libjpeg reports only on standard error.
    damage = jpeg_damage(messages)
    if damage and not findings.error:
        findings.error = f'{dataset.path(index)}: {damage}'
    return findings


def _check_resize(dataset: 'ImageDataset', index: int, findings: Findings) -> None:
    """Add the error of the first transform, if it refuses an image of that size."""
    first = next(iter(getattr(dataset, 'transforms', ())), None)
    if findings.size and not findings.error and hasattr(first, 'check_size'):
        try:
            first.check_size(dataset.path(index), findings.size)
        except DataError as error:
            findings.error = str(error)


def sizes_text(sizes: Iterable[tuple[int, int] | None]) -> str:
    """The sizes (h, w) of images in words, as width x height; '' where none is known."""
    sizes = set(sizes) - {None}
    if not sizes:
        return ''
    if len(sizes) == 1:
        ((h, w),) = sizes
        return f'; all {w} x {h} pixels'
    heights, widths = zip(*sizes)
    return (
        f'; {len(sizes)} sizes, {min(widths)} to {max(widths)} pixels wide and {min(heights)} to '
        f'{max(heights)} high'
    )


class _Inspection(Dataset):
    """``examine`` as a data set, for a loader with workers."""

    def __init__(self, dataset: 'ImageDataset', indices: Sequence[int]):
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Findings:
        return examine(self.dataset, self.indices[position])


class _Memory:
    """What was found of the files of a data set, in a file of the cache folder."""

    def __init__(self, dataset: 'ImageDataset'):
        source = os.path.abspath(dataset.source)
        self.key = f'copies, frames and inspection of {source}, {dataset.load_options()}'
        self.entries: dict[str, dict] = {}
        self.added: dict[str, dict] = {}
        arrays = load_listing(self.key)
        if arrays is not None:
            self.entries = json.loads(arrays['content'].tobytes())
        for entry in self.entries.values():
            entry['values'] = {int(k): v for k, v in entry['values'].items()}
            entry['size'] = entry['size'] and tuple(entry['size'])

    def save(self) -> None:
        if self.added:
            content = json.dumps(self.entries | self.added).encode()
            save_listing(self.key, content=np.frombuffer(content, np.uint8))


def _start(worker: int) -> None:
    import cv2

    cv2.setNumThreads(0)
