"""Random numbers as a function of where the training is.

The generators are seeded anew at every iteration from (seed, process, iteration).  Nothing about
them has to be saved: a run that resumes at iteration n draws what the uninterrupted run drew.
"""

import random
import secrets

import numpy as np
import torch

from hrdet.distributed import broadcast_object, rank


def draw_seed() -> int:
    """A seed nobody chose, the same on every process."""
    return broadcast_object(secrets.randbelow(2**31))


def seed_iteration(seed: int, iteration: int) -> None:
    """Seed torch (CPU and GPUs), numpy and random for one training iteration."""
    words = np.random.SeedSequence((seed, rank(), iteration)).generate_state(4)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
    np.random.seed(words[2])  # noqa: NPY002 - what transforms of users may draw from
    random.seed(int(words[3]))
