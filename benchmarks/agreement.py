"""Detections, losses and gradients of every family beside mmdetection's: small images, untimed."""

from benchmarks import inference, models, training
from benchmarks.harness import Case, Options


def cases(options: Options) -> list[Case]:
    """Two cases a family, with random weights."""
    made = []
    for name in models.FAMILIES:
        # By a slip mmdetection 3 uses HTC's last masks only; hrdet, as 1.x and 2.x, all stages'.
        slip = dict(last_masks=True) if name.startswith('htc') else {}
        made += [
            inference.predict(options, name, f'detections, {name}', *models.SMALL, 3, (), **slip),
            training.step(options, name, f'losses, {name}', *models.SMALL, 2, False, ()),
        ]
    return made
