"""What is wrong with label maps: values, sizes, classes that never occur."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hrdet.data.datasets.check import DatasetCheck
from hrdet.data.datasets.check_classes import sizes_text
from hrdet.data.datasets.label_values import read_values
from hrdet.data.errors import Problem
from hrdet.messages import plural
from hrdet.structures.truth import SEMANTIC_IGNORE


@dataclass(slots=True)
class LabelMapCheck(DatasetCheck):
    """Images with label maps under examination."""

    dataset: Any = None  # None where it cannot be opened at all
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))  # by file value
    sizes: Counter = field(default_factory=Counter)  # images of each (h, w)

    @classmethod
    def of(cls, kind: type, arguments: Mapping[str, Any]) -> 'LabelMapCheck':
        """The check of a data set of class ``kind`` with these arguments."""
        parts = (arguments.get(key) for key in ('data_root', 'img_dir', 'split'))
        check = cls(' '.join(str(part) for part in parts if part))
        with check.collecting():
            check.dataset = kind(**{**arguments, 'transforms': ()})
            check.name = check.dataset.source
        return check

    def __len__(self) -> int:
        return 0 if self.dataset is None else len(self.dataset)

    def check_images(self) -> Iterator[None]:
        for index in range(len(self)):
            self.look_at(index)
            yield
        self.problems += self.doubts(whole=True)

    def look_at(self, index: int) -> None:
        """Read one image and its label map."""
        size = None
        with self.collecting():
            size = self.dataset.image(index).shape[:2]
            self.sizes[size] += 1
        if not self.dataset.has_maps:
            return
        with self.collecting():
            raw = read_values(*self.dataset.map_file(index))
            self.pixels += np.bincount(raw.reshape(-1), minlength=256)
            if size is not None:
                self.dataset.check_size(index, raw.shape, size)
            self.dataset.reader.translate(raw, self.dataset.map_path(index))

    def doubts(self, whole: bool = False) -> list[Problem]:
        """Warnings from the values of all maps read; classes without a pixel only if ``whole``."""
        if not self.pixels.any():
            return []
        present, values = np.flatnonzero(self.pixels), self.dataset.reader.values
        absent = [n for n, share in zip(self.dataset.classes, self.shares()) if share == 0]
        names = values.file_classes
        reason = ''
        if present.tolist() == [0, SEMANTIC_IGNORE] and not values.zero_ignored and names[1:]:
            reason = (
                f'the label maps hold 0 and 255 only: 255 is ignored, and your second class '
                f'{names[1]!r} is empty; if 255 means {names[1]!r}, write 1 instead'
            )
        elif len(absent) == len(self.dataset.classes):
            listed = ', '.join(map(str, present[:10]))
            reason = f'no pixel has a class: the label maps hold {listed}'
            if values.zero_ignored and present[0] == 0:
                reason += ', and reduce_zero_label ignores 0'
        elif absent and whole:
            listed = ', '.join(absent[:5]) + (', ...' if len(absent) > 5 else '')
            reason = f'{plural(len(absent), "class", "classes")} without a pixel: {listed}'
        return [Problem(self.name, '', reason, fatal=False)] if reason else []

    def shares(self) -> np.ndarray:
        """(K,) the share of each class in the pixels that are not ignored."""
        # Pixels of each class (K,): several values of the files may mean one class.
        table = self.dataset.reader.values.table()
        counts = np.array([self.pixels[table == k].sum() for k in range(len(self.dataset.classes))])
        return counts / max(counts.sum(), 1)

    def summary(self) -> str:
        if self.dataset is None:
            return ''
        text = f'{plural(len(self.dataset), "image")}{sizes_text(self.sizes)}'
        if not self.pixels.any():
            return text
        table = self.dataset.reader.values.table()
        ignored = self.pixels[table == SEMANTIC_IGNORE].sum() / self.pixels.sum()
        values = ', '.join(map(str, np.flatnonzero(self.pixels)))
        shares = zip(self.dataset.classes, self.shares())
        by_class = ', '.join(f'{name} {share:.2%}' for name, share in shares)
        return f'{text}; values {values}; by class: {by_class}; {ignored:.2%} of all ignored'
