"""Comparison of two sides' results, as arrays, without torch."""

import numpy as np

from benchmarks.harness import Arrays, DisagreementError

SCORE, PIXELS, MASK_IOU = 1e-3, 0.05, 0.99  # that detections may differ by
LEAST, MOST = 0.05, 100  # score and number at which lists of detections are cut
LOSS = 1e-4  # relative
STEP = 5e-3  # mmdetection's are up to 2.4e-3 away from those in float64, hrdet's 3e-4


def same_arrays(rtol: float = 1e-5, atol: float = 1e-6):
    """A comparison: the same names, shapes and, within tolerance, numbers."""

    def compare(ours: Arrays, theirs: Arrays) -> str:
        if ours.keys() != theirs.keys():
            raise DisagreementError(f'{sorted(ours)} and {sorted(theirs)}')
        worst = 0.0
        for name, a in ours.items():
            b = theirs[name]
            if a.shape != b.shape:
                raise DisagreementError(f'{name}: {a.shape} and {b.shape}')
            if not a.size:
                continue
            a, b = a.astype(np.float64), b.astype(np.float64)
            off = np.abs(a - b)
            worst = max(worst, float(off.max()))
            wrong = ~(off <= atol + rtol * np.abs(b))  # NaN is wrong, too
            if wrong.any():
                first = np.argwhere(wrong)[0].tolist()
                raise DisagreementError(
                    f'{name}: {wrong.sum()} of {wrong.size} numbers differ, by up to '
                    f'{off.max():.3g}; the first at {first}: {a[tuple(first)]:.6g} and '
                    f'{b[tuple(first)]:.6g}'
                )
        return 'identical' if worst == 0 else f'equal to {worst:.0e}'

    return compare


def near_arrays(limit: float):
    """A comparison: the same names and shapes, and by the root of mean squares near each other."""

    def compare(ours: Arrays, theirs: Arrays) -> str:
        shapes = [{name: a.shape for name, a in side.items()} for side in (ours, theirs)]
        if shapes[0] != shapes[1]:
            raise DisagreementError(f'{shapes[0]} and {shapes[1]}')
        worst = 0.0
        for name, a in ours.items():
            a, b = a.astype(np.float64), theirs[name].astype(np.float64)
            off = float(np.sqrt(((a - b) ** 2).mean() / (b**2).mean()))
            if not off <= limit:  # NaN is wrong, too
                raise DisagreementError(f'{name} is off by {off:.1%}, allowed are {limit:.1%}')
            worst = max(worst, off)
        return f'equal to {worst:.1%}, root mean square'

    return compare


def same_labels(share: float):
    """A comparison: label maps of the same shape, of whose pixels this share at least agrees."""

    def compare(ours: Arrays, theirs: Arrays) -> str:
        a, b = ours['labels'], theirs['labels']
        if a.shape != b.shape:
            raise DisagreementError(f'label maps of {a.shape} and {b.shape}')
        text = f'{(a == b).sum()} of {a.size} labels agree'
        if (a == b).mean() < share:
            raise DisagreementError(f'{text}; expected are {share:.2%}')
        return text

    return compare


def same_losses(ours: Arrays, theirs: Arrays) -> str:
    """Losses by name (``loss/...``), and how far each parameter moved (``moved/...``)."""
    if ours.keys() != theirs.keys():
        only = [sorted(a.keys() - b.keys())[:8] for a, b in ((ours, theirs), (theirs, ours))]
        raise DisagreementError(f'only hrdet has {only[0]}, only the peer {only[1]}')
    off = {
        name: abs(float(ours[name]) - float(theirs[name])) / max(abs(float(theirs[name])), 1e-6)
        for name in ours
    }
    limits = {name: LOSS if name.startswith('loss/') else STEP for name in off}
    wrong = {name: worst for name, worst in off.items() if not worst <= limits[name]}
    if wrong:
        listed = ', '.join(
            f'{name} {float(ours[name]):.6g} and {float(theirs[name]):.6g}'
            for name in sorted(wrong, key=lambda n: (not n.startswith('loss'), -wrong[n]))[:12]
        )
        raise DisagreementError(f'{len(wrong)} of {len(off)} differ: {listed}')
    losses = [worst for name, worst in off.items() if name.startswith('loss/')]
    return (
        f'{len(losses)} losses equal to {max(losses):.0e}, steps of {len(off) - len(losses)} '
        f'parameters to {max(off.values()):.0e}'
    )


def same_training(ours: Arrays, theirs: Arrays) -> str:
    """As ``same_losses`` where batch norm uses the statistics of the batch.

    What a bias adds, the next norm takes away again: of gradients that are nearly zero float32
    leaves two digits, so the step is compared as a whole.
    """
    if ours.keys() != theirs.keys():
        return same_losses(ours, theirs)
    names = [name for name in ours if name.startswith('moved/')]
    text = same_losses(*({k: side[k] for k in side if k not in names} for side in (ours, theirs)))
    a, b = (np.array([side[name] for name in names], np.float64) for side in (ours, theirs))
    off = float(np.linalg.norm(a - b) / np.linalg.norm(b))
    if not off <= STEP:
        raise DisagreementError(f'the step of {len(names)} parameters is off by {off:.1e}')
    return f'{text.split(",")[0]}, the step of {len(names)} parameters to {off:.0e}'


def same_detections(ours: Arrays, theirs: Arrays) -> str:
    """Every detection of one side has a match on the other, except near the score of the cut.

    Arrays of each image: ``boxes<i>`` (D, 4), ``scores<i>``, ``labels<i>``, and ``masks<i>``
    (D, h * w / 8) of packed bits.
    """
    comparison = compare_detections(ours, theirs)
    if comparison['lost']:
        raise DisagreementError(f'{comparison["text"]}; e.g. {comparison["lost"][:5]}')
    return comparison['text']


def near_detections(ours: Arrays, theirs: Arrays) -> str:
    """How many match within a score of 0.02 and 2 pixels; asserts nothing."""
    return compare_detections(ours, theirs, score=0.02, pixels=2)['text']


def compare_detections(
    ours: Arrays, theirs: Arrays, score: float = SCORE, pixels: float = PIXELS
) -> dict:
    """``text`` for people, and ``lost``: (image, side, label, score, why) of each without match."""
    total, agreed, lost, worst = 0, 0, [], dict.fromkeys(('score', 'box', 'mask'), 0.0)
    for i in range(sum(name.startswith('boxes') for name in ours)):
        a, b = ({k: side[f'{k}{i}'] for k in _names(side)} for side in (ours, theirs))
        for side, x, y in (('hrdet', a, b), ('peer', b, a)):
            total += len(x['scores'])
            last = float(y['scores'].min()) if len(y['scores']) >= MOST else LEAST
            for row in range(len(x['scores'])):
                why = _match(x, y, row, worst, score, pixels)
                agreed += not why
                # Whichever is just above the cut on one side may be just below on the other.
                if why and x['scores'][row] > last + score:
                    lost.append((i, side, int(x['labels'][row]), float(x['scores'][row]), why))
    text = (
        f'{agreed} of {total} detections agree, scores to {worst["score"]:.0e}, '
        f'boxes to {worst["box"]:.0e} px'
    )
    if 'masks0' in ours:
        text += f', masks to IoU {1 - worst["mask"]:.4f}'
    return {'text': text, 'lost': lost}


def _names(side: Arrays) -> list[str]:
    return [name[:-1] for name in side if name.endswith('0') and not name[-2].isdigit()]


def _match(x: dict, y: dict, row: int, worst: dict[str, float], score: float, pixels: float) -> str:
    """'' if the other side has it, else what is nearest; updates the largest differences."""
    alike = np.flatnonzero(y['labels'] == x['labels'][row])
    if not len(alike):
        return 'no detection of that class'
    boxes = np.abs(y['boxes'][alike] - x['boxes'][row]).max(-1)
    scores = np.abs(y['scores'][alike] - x['scores'][row])
    best = int(np.argmin(boxes / pixels + scores / score))
    off_box, off_score = float(boxes[best]), float(scores[best])
    if not (off_box <= pixels and off_score <= score):
        return f'nearest {off_box:.3g} px away, scores {off_score:.3g}'
    worst['box'], worst['score'] = max(worst['box'], off_box), max(worst['score'], off_score)
    if 'masks' in x:
        p, q = x['masks'][row], y['masks'][alike[best]]
        union = np.bitwise_count(p | q).sum()
        off = 1 - np.bitwise_count(p & q).sum() / union if union else 0.0
        worst['mask'] = max(worst['mask'], float(off))
        if off > 1 - MASK_IOU:
            return f'mask IoU {1 - off:.4f}'
    return ''
