"""Batch samplers: the sample keys of each batch, by process and epoch."""

from collections.abc import Iterator

import numpy as np

from hrdet.data.datasets import SampleKey

Keys = list[SampleKey]


class AspectGroupBatchSampler:
    """Batches for training, each of one orientation; every process has equally many.

    An epoch has every sample once, and repeats a few to fill the last batch of each orientation
    and to give every process equally many batches.  The order follows from seed and epoch alone, so
    that a resumed run continues with the batches of the uninterrupted run.

    Args:
        groups: (n,) 0 or 1, the orientation of each sample (``dataset.aspect_groups``); all equal
            where the orientation does not matter.
        batch_size: samples per process and step.
        rank: this process, of ``world_size``.
        world_size: the number of processes.
        seed: seed of the order and of the samples' randomness; the same on every process.
        shuffle: draw in random order; otherwise in the order of the data set.
    """

    def __init__(
        self,
        groups: np.ndarray,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        shuffle: bool = True,
    ):
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, not {batch_size}')
        self.groups = np.asarray(groups)
        self.batch_size = batch_size
        self.rank, self.world_size = rank, world_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self._skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self.epoch = epoch

    def skip(self, batches: int) -> None:
        """Start the next iteration, and only that, after its first ``batches`` batches."""
        self._skipped = batches

    def __len__(self) -> int:
        """Batches in a whole epoch of one process."""
        batches = sum(-(-int((self.groups == g).sum()) // self.batch_size) for g in (0, 1))
        return -(-batches // self.world_size)

    def __iter__(self) -> Iterator[Keys]:
        # Every process computes all batches and takes its share of them.
        batches = self._batches()[self.rank :: self.world_size]
        start, self._skipped = self._skipped, 0
        for batch in batches[start:]:
            yield [SampleKey(int(index), self.epoch, self.seed) for index in batch]

    def _batches(self) -> np.ndarray:
        # The generator is made anew each time, so that nothing needs to be saved for a resume.
        rng = np.random.default_rng((self.seed, self.epoch))
        batches = []
        # 1. Batches (b, batch_size) of each orientation; the last one is filled from the front.
        for group in (0, 1):
            members = np.flatnonzero(self.groups == group)
            if self.shuffle:
                members = rng.permutation(members)
            full = -(-len(members) // self.batch_size) * self.batch_size
            batches.append(np.resize(members, full).reshape(-1, self.batch_size))
        # 2. All of them in one order, repeated to the same number for every process.
        batches = np.concatenate(batches)
        order = rng.permutation(len(batches)) if self.shuffle else batches[:, 0].argsort()
        return batches[np.resize(order, len(self) * self.world_size)]


class SequentialShard:
    """Batches in order for testing: each process takes one contiguous part of the data set.

    No sample is drawn twice: the results of all ranks, concatenated, are in the order of the data
    set.  The last batch of a process may be smaller; processes may differ by one sample.
    """

    def __init__(self, length: int, batch_size: int = 1, rank: int = 0, world_size: int = 1):
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, not {batch_size}')
        self.batch_size = batch_size
        self.indices = range(length * rank // world_size, length * (rank + 1) // world_size)

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[Keys]:
        for start in range(0, len(self.indices), self.batch_size):
            yield [SampleKey(i) for i in self.indices[start : start + self.batch_size]]
