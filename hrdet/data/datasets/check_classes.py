"""What is wrong with images of one class each."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hrdet.data.datasets.check import DatasetCheck
from hrdet.data.datasets.stored import StoredImages
from hrdet.messages import plural


@dataclass(slots=True)
class ClassFoldersCheck(DatasetCheck):
    """Images of one class each under examination."""

    dataset: Any = None  # None where it cannot be opened at all
    sizes: Counter = field(default_factory=Counter)  # images of each (h, w)

    @classmethod
    def of(cls, kind: type[StoredImages], arguments: Mapping[str, Any]) -> 'ClassFoldersCheck':
        """The check of a data set of class ``kind`` with these arguments."""
        parts = (arguments.get(key) for key in ('data_root', 'data_prefix', 'split', 'ann_file'))
        check = cls(' '.join(str(part) for part in parts if part))
        with check.collecting():
            check.dataset = kind(**{**arguments, 'transforms': ()})
            check.name = check.dataset.source
        return check

    def __len__(self) -> int:
        return 0 if self.dataset is None else len(self.dataset)

    def check_images(self) -> Iterator[None]:
        for index in range(len(self)):
            with self.collecting():
                self.sizes[self.dataset.image(index).shape[:2]] += 1
            yield

    def summary(self) -> str:
        if self.dataset is None:
            return ''
        text = plural(len(self.dataset), 'image')
        if self.dataset.labels is not None:
            counts = zip(self.dataset.classes, self.dataset.class_counts().tolist())
            text += f'; by class: {", ".join(f"{name} {count}" for name, count in counts)}'
        return f'{text}{sizes_text(self.sizes)}'


def sizes_text(sizes: Counter) -> str:
    """The sizes (h, w) of images in words, as width x height; '' where none is known."""
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
