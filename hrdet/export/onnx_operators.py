"""hrdet's operators in the words of ONNX."""

from collections.abc import Callable
from typing import Any


def translations() -> dict[Any, Callable]:
    """What ``torch.onnx.export`` takes as ``custom_translation_table``."""
    return {}
