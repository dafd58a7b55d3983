"""Numbers with their nouns."""

import pytest

from hrdet.messages import plural


@pytest.mark.parametrize(
    ('number', 'nouns', 'told'),
    [
        (0, ['image'], '0 images'),
        (1, ['image'], '1 image'),
        (21, ['image'], '21 images'),
        (1, ['class', 'classes'], '1 class'),
        (2, ['class', 'classes'], '2 classes'),
    ],
)
def test_one_and_many(number, nouns, told):
    assert plural(number, *nouns) == told
