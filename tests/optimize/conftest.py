"""Fixtures of the tests of optimized models."""

import pytest
import torch


@pytest.fixture
def exact_convs():
    """Not in TF32, in which two forms of a network differ by its rounding."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
