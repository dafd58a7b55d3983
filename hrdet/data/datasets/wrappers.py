"""Data sets made of data sets: repeated, joined, balanced."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hrdet.data.datasets.base import ImageDataset
from hrdet.data.errors import DataError
from hrdet.ranges import Count, Share
from hrdet.registry import register
from hrdet.structures import Annotation, Sample


class Selection(ImageDataset):
    """Images of one data set, some of them several times; each draw has its own randomness."""

    def __init__(self, dataset: ImageDataset, positions: np.ndarray):
        self.dataset = dataset
        self.positions = positions
        self.classes = dataset.classes
        self.image_ids = [dataset.image_ids[i] for i in positions]
        self.sizes = None if dataset.sizes is None else dataset.sizes[positions]
        self.labels = None if dataset.labels is None else dataset.labels[positions]
        self.palette = dataset.palette
        self.source, self.report = dataset.source, dataset.report

    def sample(self, index: int, rng: np.random.Generator) -> Sample | list[Sample]:
        return self.dataset.sample(int(self.positions[index]), rng)

    def image(self, index: int) -> np.ndarray:
        return self.dataset.image(int(self.positions[index]))

    def truth(self, index: int) -> Annotation | None:
        return self.dataset.truth(int(self.positions[index]))

    def inspect_truth(self, index: int, size: tuple[int, int] | None) -> dict[int, int]:
        return self.dataset.inspect_truth(int(self.positions[index]), size)

    def labels_of(self, index: int) -> np.ndarray:
        return self.dataset.labels_of(int(self.positions[index]))

    def largest_sizes(self) -> np.ndarray | None:
        sizes = self.dataset.largest_sizes()
        return None if sizes is None else sizes[self.positions]

    def file(self, index: int) -> tuple[Any, str]:
        return self.dataset.file(int(self.positions[index]))

    def parts(self) -> list[ImageDataset]:
        return self.dataset.parts()

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Those of a ``DetectionDataset``."""
        return self.dataset.category_ids

    def to_coco(self) -> dict:
        """The ground truth of a ``DetectionDataset``, each image once."""
        return self.dataset.to_coco()


@register()
class RepeatDataset(Selection):
    """A data set ``times`` over, so that short epochs become long ones."""

    def __init__(self, dataset: ImageDataset, times: Count):
        if times < 1:
            raise ValueError(f'times must be at least 1, not {times}')
        super().__init__(dataset, np.tile(np.arange(len(dataset)), times))


@register()
class ClassBalancedDataset(Selection):
    """Images with rare classes several times, after LVIS (Gupta et al. 2019, section B.2).

    A class on a fraction f of the images asks for max(1, sqrt(oversample_thr / f)) copies; an
    image is there as often as its rarest class asks for, rounded up.
    """

    def __init__(self, dataset: ImageDataset, oversample_thr: Share):
        if not 0 < oversample_thr <= 1:
            raise ValueError(f'oversample_thr is a fraction of the images, not {oversample_thr}')
        # 1. Which classes (n, K) are on which image, and on what fraction (K,) of all images.
        present = np.zeros((len(dataset), len(dataset.classes)), bool)
        for index in range(len(dataset)):
            present[index, dataset.labels_of(index)] = True
        fractions = np.maximum(present.mean(axis=0), 1 / len(dataset))
        # 2. Copies that each class asks for (K,), and of each image the most (n,).
        wanted = np.maximum(1, np.sqrt(oversample_thr / fractions))
        copies = np.ceil(np.where(present, wanted, 1).max(axis=1)).astype(int)
        super().__init__(dataset, np.repeat(np.arange(len(dataset)), copies))


@register()
class ConcatDataset(ImageDataset):
    """Several data sets of the same classes, one after the other."""

    def __init__(self, datasets: Sequence[ImageDataset]):
        if not datasets:
            raise ValueError('there must be at least one data set')
        self.datasets = list(datasets)
        self.classes = datasets[0].classes
        for other in datasets[1:]:
            if other.classes != self.classes:
                raise DataError(
                    f'data sets of different classes cannot be joined: {self.classes} in '
                    f'{datasets[0].source}, {other.classes} in {other.source}; '
                    f'give both the same classes=(...)'
                )
        # Rows of all parts in order; what one part lacks (None), the whole lacks.
        self.image_ids = [i for dataset in datasets for i in dataset.image_ids]
        self.sizes = _joined([dataset.sizes for dataset in datasets])
        self.labels = _joined([dataset.labels for dataset in datasets])
        self.palette = datasets[0].palette
        self.source = ', '.join(dataset.source for dataset in datasets)
        self.report = '\n'.join(dataset.report for dataset in datasets)
        self._starts = np.cumsum([0] + [len(dataset) for dataset in datasets])

    def sample(self, index: int, rng: np.random.Generator) -> Sample | list[Sample]:
        dataset, inner = self._locate(index)
        return dataset.sample(inner, rng)

    def image(self, index: int) -> np.ndarray:
        dataset, inner = self._locate(index)
        return dataset.image(inner)

    def truth(self, index: int) -> Annotation | None:
        dataset, inner = self._locate(index)
        return dataset.truth(inner)

    def inspect_truth(self, index: int, size: tuple[int, int] | None) -> dict[int, int]:
        dataset, inner = self._locate(index)
        return dataset.inspect_truth(inner, size)

    def labels_of(self, index: int) -> np.ndarray:
        dataset, inner = self._locate(index)
        return dataset.labels_of(inner)

    def largest_sizes(self) -> np.ndarray | None:
        return _joined([dataset.largest_sizes() for dataset in self.datasets])

    def file(self, index: int) -> tuple[Any, str]:
        dataset, inner = self._locate(index)
        return dataset.file(inner)

    def parts(self) -> list[ImageDataset]:
        return [part for dataset in self.datasets for part in dataset.parts()]

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Those of the first ``DetectionDataset``."""
        return self.datasets[0].category_ids

    def to_coco(self) -> dict:
        """The ground truth of several ``DetectionDataset``; image ids must not clash."""
        if len(set(self.image_ids)) < len(self.image_ids):
            raise DataError('the joined data sets share image ids: evaluate them one by one')
        parts = [dataset.to_coco() for dataset in self.datasets]
        images = [image for part in parts for image in part['images']]
        annotations = [annotation for part in parts for annotation in part['annotations']]
        return {
            'images': images,
            'annotations': [a | {'id': i} for i, a in enumerate(annotations, 1)],
            'categories': parts[0]['categories'],
        }

    def _locate(self, index: int) -> tuple[ImageDataset, int]:
        part = int(np.searchsorted(self._starts, index, side='right')) - 1
        return self.datasets[part], index - int(self._starts[part])


def _joined(rows: list[np.ndarray | None]) -> np.ndarray | None:
    """The rows of all parts; None where one of them has none."""
    return None if any(part is None for part in rows) else np.concatenate(rows)
