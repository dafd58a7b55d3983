"""Detections, losses and gradients of every family beside mmdetection's: small images, untimed."""

from benchmarks import inference, models, training
from benchmarks.harness import Case, Options


def cases(options: Options) -> list[Case]:
    """Two cases a family, with random weights."""
    made = []
    for name in models.FAMILIES:
        made += [
            inference.predict(options, name, f'detections, {name}', *models.SMALL, 3, ()),
            training.step(options, name, f'losses, {name}', *models.SMALL, 2, False, ()),
        ]
    return made
