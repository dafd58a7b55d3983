"""Ranges of numbers that configs set, as annotations: ``registry.check_value`` tests them."""

from collections.abc import Sequence
from typing import Annotated

Count = Annotated[int, 'an integer of 1 or more', lambda n: n >= 1]
Natural = Annotated[int, 'an integer of 0 or more', lambda n: n >= 0]
Limit = Annotated[int, 'an integer of 1 or more, or a negative one for no limit', lambda n: n != 0]
Tries = Annotated[int, 'an integer from 0 to 1000', lambda n: 0 <= n <= 1000]
Pixels = Annotated[int, 'a number of pixels from 1 to 65536', lambda n: 1 <= n <= 1 << 16]
Label = Annotated[int, 'an integer from 0 to 255', lambda n: 0 <= n <= 255]
FrozenStages = Annotated[int, 'an integer from -1 to 4', lambda n: -1 <= n <= 4]
Integer = Annotated[int, 'an integer', lambda n: True]
FileName = Annotated[str, 'the name of a file', len]

Number = Annotated[float, 'a finite number', lambda x: True]
Positive = Annotated[float, 'a positive number', lambda x: x > 0]
NotNegative = Annotated[float, 'a number of 0 or more', lambda x: x >= 0]
Fraction = Annotated[float, 'a number between 0 and 1', lambda x: 0 < x < 1]
Share = Annotated[float, 'a number from 0 to 1', lambda x: 0 <= x <= 1]
PositiveShare = Annotated[float, 'a number above 0, at most 1', lambda x: 0 < x <= 1]
UpToOne = Annotated[float, 'a number from -1 to 1', lambda x: -1 <= x <= 1]
Level = Annotated[float, 'a number from 0 to 255', lambda x: 0 <= x <= 255]
HalfTurn = Annotated[float, 'a number of degrees from 0 to 180', lambda x: 0 <= x <= 180]
Ratio = Annotated[float, 'a number from 0.01 to 100', lambda x: 0.01 <= x <= 100]

Counts = Annotated[Sequence[Count], 'a list of at least one integer of 1 or more', len]
Positives = Annotated[Sequence[Positive], 'a list of at least one positive number', len]

# Pairs (smallest, largest) to draw from.
Factors = Annotated[
    tuple[float, float], 'a pair (smallest, largest), 0 or more', lambda r: 0 <= r[0] <= r[1]
]
Ratios = Annotated[
    tuple[float, float],
    'a pair (smallest, largest) from 0.01 to 100',
    lambda r: 0.01 <= r[0] <= r[1] <= 100,
]

# One edge for both, or (h, w); scales are (w, h) or (long, short).
PixelSize = Pixels | tuple[Pixels, Pixels]
Pair = Annotated[tuple[Pixels, Pixels], 'a pair (w, h) of pixels from 1 to 65536', len]
Scales = Annotated[
    Sequence[tuple[Pixels, Pixels]], 'a list of at least one pair of pixels', lambda rows: len(rows)
]
Colour = Level | tuple[Level, Level, Level]
