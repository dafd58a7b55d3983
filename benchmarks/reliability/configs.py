"""420 configs with one mistake: a misspelt key, a wrong type, a value out of range, infinite, huge.

Each is lowered, built, trained for an epoch of a few iterations and evaluated once.  A mistake must
be refused before the first iteration, by the path of the key; values that no part of the run reads
(helper variables of the file) may be anything.
"""

import math
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability import materials
from benchmarks.reliability.cases import Case, Late, Stopped, Wrong
from benchmarks.reliability.materials import Draw
from hrdet.config import load_config, lower
from hrdet.engine import checkpointing
from hrdet.engine.build import TrainOptions, build_trainer
from hrdet.run_tool import one_line
from hrdet.tracking import NonFiniteLoss

COUNT = 420
_TYPOS, _TYPES, _RANGES, _SHAPES = (
    'misspelt',
    'of another type',
    'out of range',
    'of another length',
)


def cases(base: Path, seed: int, count: int = COUNT) -> Iterator[Case]:
    """The campaign, the sound configs in turn."""
    trees = {n: load_config(materials.config_file(base, n)).to_dict() for n in materials.CONFIGS}
    for number in range(count):
        task = materials.CONFIGS[number % len(trees)]
        yield _case(task, trees[task], Draw(seed, 'configs', number), number)


def _case(task: str, sound: dict, draw: Draw, number: int) -> Case:
    tree = _copy(sound)
    kind, path, text = _mistake(tree, draw)

    def work(folder: Path) -> None:
        train(tree)
        # It ran: either nothing reads the value, or it is allowed.
        if kind != _SHAPES and _is_read(sound, tree):
            raise Wrong(f'{kind}, accepted')

    last = [str(key) for key in path if isinstance(key, str)][-2:]
    return Case(f'{task} {number}: {text}', work, tuple(last))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return type(value)(map(_copy, value)) if isinstance(value, (list, tuple)) else value


def _mistake(tree: dict, draw: Draw) -> tuple[str, tuple, str]:
    """Change a tree; the kind of the mistake, where it is, and what it is."""
    paths = [path for path in materials.paths_in(tree) if path[0] not in ('work_dir',)]
    kind = draw.choice([_TYPOS, _TYPES, _TYPES, _RANGES, _RANGES, _SHAPES])
    if kind == _TYPOS:
        path = draw.choice(
            [p for p in paths if isinstance(p[-1], str) and len(p[-1]) > 3 and p[-1] != 'type']
        )
        key, at = path[-1], draw.randrange(1, len(path[-1]) - 1)
        other = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
        other = other if other != key else key + 's'
        value = materials.at(tree, path)
        materials.drop(tree, path)
        materials.at(tree, path[:-1])[other] = value
        return kind, path, f'{materials.spell(path)} as {other}'
    numbers = [p for p in paths if _is_number(materials.at(tree, p))]
    if kind == _RANGES:
        path = draw.choice(numbers)
        new = draw.choice([math.nan, math.inf, -math.inf, 1e30, -1e30, -7, 10**400])
        # Some values may be negative, or any number.
        if {'mean', 'max_norm'} & set(path) or (_NEGATIVE & set(path) and new == -7):
            new = math.nan
    elif kind == _TYPES:
        path = draw.choice(paths)
        old = materials.at(tree, path)
        new = draw.choice(
            [
                v
                for v in _OTHERS
                if type(v) is not type(old)
                and not (_is_number(v) and _is_number(old))
                and not (v == [1, 2] and (isinstance(old, tuple) or str(path[-1]).endswith('size')))
            ]
        )
    else:
        path = draw.choice(
            [p for p in paths if isinstance(materials.at(tree, p), (list, tuple))] or numbers
        )
        old = materials.at(tree, path)
        new = (
            draw.choice([[], [*old, *old], list(old)[:1], [old]])
            if isinstance(old, (list, tuple))
            else [old]
        )
    _set(tree, path, new)
    return kind, path, f'{materials.spell(path)} = {str(new)[:40]!r}'


# Keys of which a negative number means none, or all.
_NEGATIVE = {
    *('nms_pre', 'nms_post', 'max_per_img', 'pos_weight', 'neg_pos_ub', 'ignore_iof_thr'),
    *('allowed_border', 'target_means', 'score_thr'),
}
_OTHERS: tuple[Any, ...] = (
    '5',
    '',
    'nonsense',
    [1, 2],
    {},
    {'a': 1},
    {'type': 'Nothing'},
    5,
    0.5,
    'os.system',
    [[]],
    object,
)


def _set(tree: Any, path: tuple, value: Any) -> None:
    # Tuples are rebuilt on the way down.
    place = materials.at(tree, path[:-1])
    if isinstance(place, tuple):
        items = list(place)
        items[path[-1]] = value
        _set(tree, path[:-1], tuple(items))
    else:
        place[path[-1]] = value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def train(tree: dict) -> None:
    """Train an epoch of a config in the current folder, and evaluate once.

    Raises:
        Stopped: a loss was not finite.
        Late: an error after iterations.
    """
    # Configs are tried here, not disks.
    checkpointing.write_checkpoint = lambda path, content: path.touch()
    trainer = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            options = TrainOptions(work_dir='work', seed=0, auto_resume=False)
            trainer = build_trainer(load_config(tree), options, force_cpu=True)
            trainer.run()
    except NonFiniteLoss as error:
        raise Stopped(str(error)) from error
    except Exception as error:
        if trainer is not None and trainer.iter and one_line(error) is not None:
            raise Late(f'after {trainer.iter} iterations: {error}') from error
        raise


def _is_read(sound: dict, tree: dict) -> bool:
    """Whether a run from this config differs from one of the sound config, but for warnings."""
    lowered = [lower(load_config(one)) for one in (sound, tree)]
    for run in lowered:
        run.warnings.clear()
    one, other = (re.sub(r' at 0x[0-9a-f]+', '', repr(run)) for run in lowered)
    return one != other
