"""Toy runs leave no curves."""

import pytest

from hrdet.tracking import training_log


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """Drawing takes longer than a toy run; the tests of the tools look for the curves."""
    monkeypatch.setattr(training_log, 'draw_curves', lambda log: None)
