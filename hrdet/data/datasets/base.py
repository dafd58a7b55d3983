"""The interface of all data sets, whatever the task."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Dataset

from hrdet.data.datasets.inspection import Findings, sizes_text
from hrdet.data.datasets.statistics import LabelStatistics
from hrdet.data.errors import Problem
from hrdet.messages import plural
from hrdet.structures import Annotation, Sample


class SampleKey(NamedTuple):
    """Names one draw of one sample; all its randomness follows from these three numbers."""

    index: int
    epoch: int = 0
    seed: int = 0


class ImageDataset(Dataset):
    """Samples by index, or by SampleKey.

    A subclass sets ``classes`` and ``image_ids`` and has ``sample`` and ``image``.  What it does
    not know stays None: a folder of a million files knows no image size without opening them.
    """

    classes: tuple[str, ...]
    image_ids: Sequence  # unique, unless a data set repeats images
    sizes: np.ndarray | None = None  # (n, 2) as (h, w), of the image files
    source: str = ''  # the file or folder that the data set was read from, for messages
    labels: np.ndarray | None = None  # (n,) the class of each image, where it has one
    palette: tuple | None = None  # the colour (R, G, B) of each class; None: no choice is made
    report: str = ''  # what was read and what was left out, in lines for the log

    def __getitem__(self, key: int | SampleKey) -> Sample | list[Sample]:
        key = SampleKey(*key) if isinstance(key, tuple) else SampleKey(int(key))
        if not 0 <= key.index < len(self):
            raise IndexError(f'sample {key.index} of a data set of {len(self)}')
        return self.sample(key.index, np.random.default_rng((key.seed, key.epoch, key.index)))

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def aspect_groups(self) -> np.ndarray | None:
        """(n,) uint8: 1 for images wider than high, else 0; None: unknown."""
        if self.sizes is None:
            return None
        return (self.sizes[:, 1] > self.sizes[:, 0]).astype(np.uint8)

    @property
    def annotation_report(self) -> str:
        """The earlier name of ``report``."""
        return self.report

    def sample(self, index: int, rng: np.random.Generator) -> Sample | list[Sample]:
        """Sample ``index`` after its transforms, which draw from ``rng``; or its views."""
        raise NotImplementedError

    def image(self, index: int) -> np.ndarray:
        """The pixels (h, w, 3) uint8 BGR of image ``index`` as they are in its file."""
        raise NotImplementedError

    def truth(self, index: int) -> Annotation | None:
        """The truth about image ``index`` in pixels of its file; None: the data set has none."""
        return None

    def labels_of(self, index: int) -> np.ndarray:
        """The labels (G,) that occur on image ``index``, for balancing classes."""
        raise NotImplementedError

    def largest_sizes(self) -> np.ndarray | None:
        """Upper bounds (n, 2) as (h, w) of the padded sizes of the samples; None: unknown."""
        return None

    @classmethod
    def stated_classes(
        cls,
        classes: Sequence[str] | None = None,
        palette: Sequence[tuple[int, int, int]] | None = None,
        **_: Any,
    ) -> tuple[tuple[str, ...] | None, tuple | None]:
        """Classes and palette as far as the constructor's arguments give them; no file is read."""
        named = classes is not None and not isinstance(classes, str)
        return tuple(classes) if named else None, palette and tuple(map(tuple, palette))

    def server_files(self, folder: str) -> Any:
        """A consumer of predictions that writes files for the data set's evaluation server.

        Raises:
            DataError: the server's format is not known for this data set.
        """
        from hrdet.data.datasets.server_files import none_for

        raise none_for(self)

    def file(self, index: int) -> tuple[Any, str] | None:
        """The store of image ``index`` and its name in it; None: it comes from elsewhere."""
        return None

    def path(self, index: int) -> str:
        """The file of image ``index``, for messages."""
        place = self.file(index)
        return f'image {self.image_ids[index]}' if place is None else place[0].path(place[1])

    def parts(self) -> 'list[ImageDataset]':
        """The data sets that a wrapper is made of; of others the data set itself."""
        return [self]

    def load_options(self) -> str:
        """Options that change the samples, besides the files: part of the key of cached checks."""
        return f'{type(self).__name__}, {self.classes}'

    def stamp(self, index: int) -> str:
        """Changes when the files of image ``index`` change; '': they cannot be found."""
        place = self.file(index)
        try:
            return '' if place is None else f'{place[1]} {place[0].stamp(place[1])}'
        except (OSError, ValueError):  # the latter for names that no file has
            return ''

    def inspect_truth(self, index: int, size: tuple[int, int] | None) -> dict[int, int]:
        """Read the truth of an image of ``size`` (h, w); pixels of each value, if it is a map.

        Raises:
            DataError: it cannot be used.
        """
        self.truth(index)
        return {}

    def doubts(self, findings: Sequence[Findings], whole: bool) -> list[Problem]:
        """Warnings that need statistics over many images; ``whole``: over all of the data set."""
        return []

    def label_statistics(self) -> LabelStatistics | None:
        """How many labels of each class there are; None where it has none."""
        if self.labels is None:
            return None
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return LabelStatistics(self.classes, 'images', counts)

    def left_out(self) -> list[str]:
        """Lines about images that cannot be used, with ``on_bad_image='skip'``."""
        return []

    def about_orientation(self) -> str:
        """A warning about images with an EXIF orientation; '' where they are turned upright."""
        return ''

    def summary(self, findings: Sequence[Findings]) -> str:
        """A summary of the data set from the findings about its images."""
        return f'{plural(len(self), "image")}{sizes_text(one.size for one in findings)}'
