"""Measure the cost of reading hrdet: files, page turns and lines of a Faster R-CNN.

    python tools/analysis/reading_cost.py
    python tools/analysis/reading_cost.py --json

A small Faster R-CNN (W18-small, two images of 128 x 160, CPU) is built, trained for a step and
asked for predictions while Python calls are traced; ``tools/train.py`` runs to its third
iteration.  A page turn: a function entered for the first time lies in another file than the
function entered for the first time before it.  Backbone and neck are left out, as are torch, the
standard library and the libraries of arrays and images.

Lines on the path are those of the functions that were executed, with the whole classes that hold
them and the imports and constants that they read; code lines are without blanks, comments and
docstrings.  ``--json`` also gives the lines of each file.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.command_line import Parser
from tools.analysis.call_tracer import Trace
from tools.analysis.source_lines import (
    comment_share,
    import_cycles,
    lines_of_files,
    lines_on_path,
    longest_functions,
)

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/hrnet/faster_rcnn_hrnetv2p_w18_1x.py'
SIZE = (128, 160)  # height and width of the images
LAYERS = ('hrdet/models/backbones', 'hrdet/models/layers', 'hrdet/models/necks')
# Packages that tools/train.py calls and that a reader of the loop need not open.
NOT_OF_THE_LOOP = tuple(
    f'hrdet/{room}'
    for room in (
        *('boxes/', 'checkpoints/', 'command_line', 'config/', 'data/', 'evaluation/', 'losses/'),
        *('matching/', 'models/', 'ops/', 'optimize/', 'registry', 'structures/', 'visualize/'),
    )
)
ENGINE = tuple(
    f'hrdet/{room}' for room in ('optim', 'tracking', 'run_tool.py', 'logger.py', 'distributed.py')
)
CONSTRUCTION = ('load config', 'lower', 'build')
# Rooms of the path, the first that fits: what lies elsewhere belongs to the construction, to the
# part of it that calls it first.
ROOMS = {
    'boxes, matching, losses': ('hrdet/boxes', 'hrdet/matching', 'hrdet/losses'),
    'RPN': ('hrdet/models/heads/rpn', 'hrdet/ops/nms', 'hrdet/ops/library'),
    'RoI': ('hrdet/models/roi', 'hrdet/models/heads', 'hrdet/ops', 'hrdet/models/multiclass_nms'),
    'detector': ('hrdet/models', 'hrdet/structures'),
}
BUILDERS = ('hrdet/models/build.py',)  # lies in a room of the path and constructs


def overrides(shapes: Any) -> dict[str, Any]:
    """The published config on the generated images, with the smallest backbone."""
    changes: dict[str, Any] = {
        'model.pretrained': None,
        'model.backbone.width': '18-small',
        'data.imgs_per_gpu': 2,
        'data.workers_per_gpu': 0,
        'classes': None,  # those of the data
        'log_level': 'ERROR',
    }
    for part, ann_file, images in (
        ('train', shapes.train_ann, shapes.train_images),
        ('val', shapes.val_ann, shapes.val_images),
        ('test', shapes.val_ann, shapes.val_images),
    ):
        changes[f'data.{part}.ann_file'] = ann_file
        changes[f'data.{part}.img_prefix'] = images
        changes[f'data.{part}.img_scale'] = SIZE[::-1]
    return changes


def trace_model(shapes: Any) -> dict[str, Trace]:
    """Traces from the config to the model, of a training step, a later one, and a prediction."""
    import torch

    from hrdet.config import load_config, loader_options, lower
    from hrdet.data import build_loader
    from hrdet.models import build_model
    from hrdet.registry import build

    torch.manual_seed(0)
    traces = {name: Trace(ROOT) for name in (*CONSTRUCTION, 'step', 'later step', 'predict')}
    with traces['load config']:
        config = load_config(CONFIG, overrides(shapes))
    with traces['lower']:
        settings = lower(config)
    batches = {}
    for mode, part in (('loss', settings.train), ('predict', settings.test)):
        options = loader_options(part) | dict(batch_size=2, num_workers=0, training=mode == 'loss')
        dataset = build(part['dataset'])
        batches[mode] = next(iter(build_loader(dataset, **options)))
    with traces['build']:
        model = build_model(settings, dataset.classes)
    for name, mode in (('step', 'loss'), ('later step', 'loss'), ('predict', 'predict')):
        trace = traces[name]
        model.train(mode == 'loss')
        hooks = []
        for part in (model.backbone, model.neck):
            hooks.append(part.register_forward_pre_hook(trace.pause))
            hooks.append(part.register_forward_hook(trace.resume))
        with trace:
            model(batches[mode], mode=mode)
        for hook in hooks:
            hook.remove()
    return traces


class _EndOfTrace(BaseException):
    """Leaves a training run whose trace is complete."""


def trace_loop(shapes: Any, folder: str) -> dict[str, Trace]:
    """Traces of ``tools/train.py`` to the end of the first iteration, and of the second one.

    The model's own calls are not traced: they are the training step.
    """
    import runpy

    from torch.nn.modules import module as hooks

    first, second = traces = [Trace(ROOT, foreign=True, left_out=NOT_OF_THE_LOOP) for _ in range(2)]
    depth = iterations = 0

    def enter(*_: Any) -> None:
        nonlocal depth, iterations
        depth += 1
        if depth > 1:
            return
        iterations += 1
        if iterations == 3:
            second.stop()
            raise _EndOfTrace
        if iterations == 2:
            first.stop()
            second.start()
        traces[iterations - 1].pause()

    def leave(*_: Any) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0:
            traces[iterations - 1].resume()

    handles = [
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave, always_call=True),
    ]
    changes = [f'{key}={value}' for key, value in overrides(shapes).items()]
    argv, sys.argv = sys.argv, ['train.py', str(CONFIG), '--gpus', '0', '--work-dir', folder]
    sys.argv += ['--cfg-options', *(change.replace(' ', '') for change in changes)]
    try:
        first.start()
        runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    except _EndOfTrace:
        pass
    finally:
        first.stop()
        second.stop()
        sys.argv = argv
        for handle in handles:
            handle.remove()
    return {'train.py': first, 'iteration': second}


def path_lines(traces: dict[str, Trace]) -> tuple[dict[str, tuple[int, int, int]], dict[str, Any]]:
    """(files, raw lines, code lines) of each part of the way from the config to the loss.

    Also (part, raw lines, code lines) of each file.
    """
    phase_of = dict.fromkeys(_config_files(), CONSTRUCTION[0])
    executed: set[tuple[str, str]] = set()
    for phase in (*CONSTRUCTION, 'step'):
        found = traces[phase].functions | traces[phase].classes
        executed |= {(file, name) for file, name in found if not file.startswith(LAYERS)}
        for file, _ in executed:
            phase_of.setdefault(file, phase)
    files: dict[str, tuple[str, int, int]] = {}
    for file, phase in phase_of.items():
        names = {name for path, name in executed if path == file}
        room = next((r for r, where in ROOMS.items() if file.startswith(where)), phase)
        part = phase if file in BUILDERS else room
        files[file] = (part, *lines_on_path(ROOT / file, names))
    table = {
        part: _sum([(1, raw, code) for room, raw, code in files.values() if room == part])
        for part in (*CONSTRUCTION, *ROOMS)
    }
    sums = {
        'construct': _sum([table[phase] for phase in CONSTRUCTION]),
        'total': _sum(list(table.values())),
    }
    return table | sums, files


def _sum(rows: list[tuple[int, int, int]]) -> tuple[int, int, int]:
    return tuple(map(sum, zip(*rows))) or (0, 0, 0)


def _config_files() -> list[str]:
    """The config and the files it inherits from, wherever the loader keeps them."""
    found, waiting = [], [CONFIG]
    while waiting:
        path = waiting.pop().resolve()
        scope: dict[str, Any] = {}
        exec(compile(path.read_text(encoding='utf-8'), str(path), 'exec'), scope)
        bases = scope.get('_base_', [])
        waiting += [path.parent / b for b in ([bases] if isinstance(bases, str) else bases)]
        found.append(str(path.relative_to(ROOT)))
    return found


def sizes() -> dict[str, Any]:
    engine = lines_of_files(ROOT, 'hrdet/engine', 'tools/train.py')
    beside = lines_of_files(ROOT, *(room for room in ENGINE if (ROOT / room).exists()))
    models = lines_of_files(ROOT, 'hrdet/models')
    models = {file: n for file, n in models.items() if '/optimize' not in file}
    everything = lines_of_files(ROOT, 'hrdet', 'tools')
    functions = longest_functions(ROOT, 'hrdet', 'tools')
    return {
        'hrdet/engine + tools/train.py': sum(engine.values()),
        '  and what serves it (optim, tracking, ...)': sum(beside.values()),
        'hrdet/models without the speed wing': sum(models.values()),
        'longest files': sorted(everything.items(), key=lambda item: -item[1])[:5],
        'longest functions': functions[:5],
        'comment lines in functions (%)': comment_share(ROOT, 'hrdet'),
        'import cycles': len(import_cycles('hrdet')),
    }


def measure() -> dict[str, Any]:
    """All numbers, by name."""
    from hrdet.data.shapes import make_shapes

    with tempfile.TemporaryDirectory() as folder:
        shapes = make_shapes(f'{folder}/shapes', 6, 2, size=SIZE)
        traces = trace_model(shapes)
        lines, files = path_lines(traces)
        traces |= trace_loop(shapes, f'{folder}/run')
    return {
        'traces': {name: trace.summary() for name, trace in traces.items()},
        'lines': lines,
        'files on the path': files,
        'sizes': sizes(),
    }


def report(numbers: dict[str, Any]) -> str:
    """Tables for people."""
    columns = list(next(iter(numbers['traces'].values())))
    rows = [f'{"traced":<12}' + ''.join(f'{column:>12}' for column in columns)]
    for name, row in numbers['traces'].items():
        rows.append(f'{name:<12}' + ''.join(f'{row[column]:>12}' for column in columns))
    rows += ['', f'{"from config to loss":<26}{"files":>8}{"raw lines":>12}{"code lines":>12}']
    for room, (files, raw, code) in numbers['lines'].items():
        rows.append(f'{room:<26}{files:>8}{raw:>12}{code:>12}')
    rows.append('')
    for name, value in numbers['sizes'].items():
        if isinstance(value, list):
            rows.append(name)
            rows += [f'  {count:>4}  {where}' for where, count in value]
        else:
            rows.append(f'{name:<44}{value:>8}')
    return '\n'.join(rows)


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument('--json', action='store_true', help='print JSON instead of tables')
    args = parser.parse_args()
    numbers = measure()
    print(json.dumps(numbers, indent=1) if args.json else report(numbers))


if __name__ == '__main__':
    main()
