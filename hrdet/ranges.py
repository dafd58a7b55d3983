"""Ranges of numbers that configs set, as annotations: ``registry.check_value`` tests them."""

from typing import Annotated

Count = Annotated[int, 'an integer of 1 or more', lambda n: n >= 1]
Natural = Annotated[int, 'an integer of 0 or more', lambda n: n >= 0]
Limit = Annotated[int, 'an integer of 1 or more, or a negative one for no limit', lambda n: n != 0]
Positive = Annotated[float, 'a positive number', lambda x: x > 0]
NotNegative = Annotated[float, 'a number of 0 or more', lambda x: x >= 0]
Fraction = Annotated[float, 'a number between 0 and 1', lambda x: 0 < x < 1]
Share = Annotated[float, 'a number from 0 to 1', lambda x: 0 <= x <= 1]
UpToOne = Annotated[float, 'a number of 1 or less', lambda x: x <= 1]
