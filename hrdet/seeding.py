"""Random numbers as a function of where a training run stands."""

import random

import numpy as np
import torch

from hrdet.distributed import rank


def seed_everything(seed: int, iteration: int) -> None:
    """Seed torch (CPU and GPUs), numpy and random for one iteration.

    Nothing about the generators has to be saved: a run that resumes at an iteration draws what the
    uninterrupted run drew.
    """
    words = np.random.SeedSequence((seed, rank(), iteration)).generate_state(4)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2])  # noqa: NPY002 - what transforms of users may draw from
    random.seed(int(words[3]))
