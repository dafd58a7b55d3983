"""Detections, losses and gradients of every family beside mmdetection's: small images, untimed."""

from benchmarks import inference, models, training
from benchmarks.harness import Case, Options


def cases(options: Options) -> list[Case]:
    """Two cases a family, with random weights."""
    made = []
    for family in models.FAMILIES:
        made += [
            inference.predict(
                options, family, f'detections, {family}', *models.SMALL, 3, timed=False
            ),
            training.step(
                options, family, f'losses, {family}', *models.SMALL, 2, False, timed=False
            ),
        ]
    return made
