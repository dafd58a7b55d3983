"""``on_bad_image='skip'``: go on without the images that cannot be used.

An image is bad if itself or its truth cannot be read, as ``examine`` finds.  In a test it is left
out.  In training another image takes its place, so that the length of an epoch, the order and a
resume stay the same whenever an image breaks.
"""

import logging

import numpy as np
import torch

from hrdet.data.datasets.base import ImageDataset, SampleKey
from hrdet.data.datasets.inspection import bad_images, examine
from hrdet.data.datasets.wrappers import Selection
from hrdet.data.errors import MAX_LISTED, DataError
from hrdet.distributed import gather_objects, on_rank_0, rank
from hrdet.messages import plural
from hrdet.structures import Sample

_logger = logging.getLogger('hrdet')
_MOST = 0.5  # of the images: if more are bad, the mistake is another one
_TRIES = 100  # draws of an image in place of a bad one


def skip_bad_images(
    dataset: ImageDataset, training: bool, everything: bool, workers: int
) -> ImageDataset:
    """The data set without its bad images, which are listed in the log; see ``check_images``.

    Images that are not checked now are, in training, found when they are drawn.

    Raises:
        DataError: more than half of the images are bad.
    """
    bad = on_rank_0(bad_images, dataset, everything or not training, workers)
    indices = [i for i in range(len(dataset)) if dataset.path(i) in bad] if bad else []
    if len(indices) > _MOST * len(dataset):
        first = next(iter(bad.values()))
        raise DataError(
            f'{dataset.source}: {len(indices)} of {plural(len(dataset), "image")} cannot be used: '
            f"too many for on_bad_image='skip'. The first: {first}"
        )
    sound = (ReplacedImages if training else RemainingImages)(dataset, indices)
    lines = sound.left_out()
    for line in lines if rank() == 0 else ():
        _logger.warning(line)
    return sound


class RemainingImages(Selection):
    """A data set to test on, without its bad images."""

    def __init__(self, dataset: ImageDataset, bad: list[int]):
        super().__init__(dataset, np.setdiff1d(np.arange(len(dataset)), bad))
        self.bad = bad
        for name in ('ann_file', 'absent_classes'):  # which CocoMetric reads
            if hasattr(dataset, name):
                setattr(self, name, getattr(dataset, name))

    def left_out(self) -> list[str]:
        return _listed(self.dataset, self.bad, 'all metrics are of the others')


class ReplacedImages(Selection):
    """A data set to train on, in which another image takes the place of a bad one.

    It is drawn, of the same orientation, by the sample's key, and so are its transforms.
    """

    def __init__(self, dataset: ImageDataset, bad: list[int]):
        super().__init__(dataset, np.arange(len(dataset)))
        # (n,) in memory that the workers of the loader share: what one finds, all know.
        self._bad = torch.zeros(len(dataset), dtype=torch.uint8)
        self._bad[bad] = 1
        self._bad.share_memory_()

    def __getitem__(self, key: int | SampleKey) -> Sample | list[Sample]:
        key = SampleKey(*key) if isinstance(key, tuple) else SampleKey(int(key))
        numbers = (key.seed, key.epoch, key.index)
        draws, index = np.random.default_rng((*numbers, 1)), key.index
        for _ in range(_TRIES):
            if not self._bad[index]:
                try:
                    return self.sample(index, np.random.default_rng(numbers))
                except DataError:
                    if not self._is_bad(index):  # a mistake in a transform
                        raise
            index = self._draw(key.index, draws)
        raise DataError(f'{self.source}: no image can be read any more')

    def left_out(self) -> list[str]:
        found = gather_objects(self._bad.numpy().copy())
        bad = [] if found is None else np.flatnonzero(np.max(found, axis=0)).tolist()
        return _listed(self.dataset, bad, 'others are drawn in their place')

    def _is_bad(self, index: int) -> bool:
        """Look at an image that failed, and remember it if it is bad."""
        error = examine(self.dataset, index).error
        if error:
            self._bad[index] = 1
            _logger.warning(f"{error}; left out from now on (on_bad_image='skip')")
        return bool(error)

    def _draw(self, index: int, draws: np.random.Generator) -> int:
        groups = self.aspect_groups
        if groups is None:
            return int(draws.integers(len(self)))
        return int(draws.choice(np.flatnonzero(groups == groups[index])))


def _listed(dataset: ImageDataset, bad: list[int], consequence: str) -> list[str]:
    """Lines about the bad images; none where there is none."""
    if not bad:
        return []
    lines = [
        f'{dataset.source}: {len(bad)} of {plural(len(dataset), "image")} left out '
        f"(on_bad_image='skip'); {consequence}"
    ]
    lines += [f'  left out: {examine(dataset, i).error}' for i in bad[:MAX_LISTED]]
    if len(bad) > MAX_LISTED:
        lines.append(f'  ... and {len(bad) - MAX_LISTED} more; hrdet check lists all')
    return lines
