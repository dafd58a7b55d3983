"""Names of the 1,000 classes of ImageNet 2012."""

from functools import cache
from importlib import resources


@cache
def imagenet_classes() -> tuple[str, ...]:
    """All synonyms of each class, such as 'tench, Tinca tinca', in the order of the labels.

    Labels follow the sorted WordNet ids of the folders.  Two classes are called 'crane' (134, the
    bird, and 517, the machine), so a name does not always tell the label.
    """
    text = resources.files('hrdet.data.datasets').joinpath('imagenet_classes.txt')
    return tuple(text.read_text('utf-8').splitlines())
