"""360 checkpoints: cut, flipped, hostile, of other shapes, types and values; also safetensors.

Models are initialised from them, and trainings resumed.  What is accepted is compared with the
checkpoint as it was written, bit for bit; a hostile file must not run anything.
"""

import builtins
import copy
import io
import json
import os
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.reliability import materials
from benchmarks.reliability.cases import Case, Wrong
from benchmarks.reliability.materials import Draw
from hrdet.apis import init_model
from hrdet.checkpoints import read_checkpoint
from hrdet.checkpoints.files import save_safetensors
from hrdet.config import load_config
from hrdet.engine.build import TrainOptions, build_trainer

COUNT = 360


def cases(base: Path, seed: int, count: int = COUNT) -> Iterator[Case]:
    """The campaign, kinds and tasks in turn."""
    makers = [
        _damaged,
        _values,
        _hostile,
        _damaged,
        _state,
        _container,
        _damaged,
        _archive,
        _safetensors,
    ]
    for task in materials.TASKS:
        materials.config_file(base, task)
    for number in range(count):
        draw = Draw(seed, 'checkpoints', number)
        task = materials.TASKS[(number // len(makers)) % len(materials.TASKS)]
        name, write, same, resumed = makers[number % len(makers)](draw)
        work = partial(_use, base, task, write, same, resumed)
        yield Case(f'{task} {number}: {name}', work, ('damaged',))


# A kind gives: its name; ``write(path, content)``, which writes the damaged file; whether what is
# accepted must equal the sound checkpoint (None: a model must come out); whether a run resumes.
Kind = tuple[str, Callable[[Path, dict], None], bool | None, bool]


def sound(base: Path, task: str) -> Path:
    """The checkpoint of a short training, written once."""
    path = base / f'{task}.pth'
    if not path.is_file():
        trainer = trainer_of(base, task, work_dir='sound', validate=False)
        trainer.run()
        draft = base / f'{task}_{os.getpid()}.pth'
        os.replace(shutil.copyfile('sound/latest.pth', draft), path)
    return path


_LONGER = {
    'detection': {'total_epochs': 2},
    'fcos': {'total_epochs': 2},
    'segmentation': {'runner.max_iters': 3},
    'classification': {'train_cfg.max_epochs': 2},
}


def trainer_of(base: Path, task: str, longer: bool = False, **options: Any) -> Any:
    """A trainer with AdamW of one epoch, or with one left after that."""
    optimizer = dict(type='AdamW', lr=0.001)
    key = 'optim_wrapper.optimizer' if task == 'classification' else 'optimizer'
    config = load_config(base / f'{task}.py', {key: optimizer} | (_LONGER[task] if longer else {}))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return build_trainer(config, TrainOptions(seed=0, **options), force_cpu=True)


def _use(
    base: Path, task: str, write: Callable, same: bool | None, resumed: bool, folder: Path
) -> None:
    content = read_checkpoint(sound(base, task))
    path = folder / 'damaged.pth'
    write(path, copy.deepcopy(content))
    path = next(folder.glob('damaged*'))
    builtins.hostile_code_ran = False
    try:
        if resumed:
            trainer = trainer_of(
                base, task, longer=True, work_dir='work', resume_from=str(path), validate=False
            )
            states = dict(
                state_dict=trainer.model.state_dict(), optimizer=trainer.optimizer.state_dict()
            )
            found = copy.deepcopy(states)
            trainer.run()
        else:
            found = dict(state_dict=init_model(base / f'{task}.py', str(path), 'cpu').state_dict())
    finally:
        if builtins.hostile_code_ran or Path('hostile').exists():
            raise Wrong('code in the file was executed')
    if same is False:
        raise Wrong('accepted')
    if same:
        for name in found:
            _compare(content[name], found[name], name)


def _compare(before: Any, after: Any, where: str) -> None:
    if isinstance(before, torch.Tensor):
        if before.shape != after.shape or not torch.equal(before.float(), after.float()):
            raise Wrong(f'{where} differs')
    elif isinstance(before, dict):
        for key in before:
            if key not in ('without_state', 'loss_scaler'):
                _compare(before[key], after[key], f'{where}.{key}')
    elif isinstance(before, (list, tuple)):
        for i, (one, other) in enumerate(zip(before, after, strict=True)):
            _compare(one, other, f'{where}[{i}]')
    elif before != after:
        raise Wrong(f'{where}: {after}, not {before}')


def _damaged(draw: Draw) -> Kind:
    """Bytes of the file: what disks and downloads do."""
    name = draw.choice(['cut', 'flips', 'flips', 'flips', 'bytes'])

    def write(path: Path, content: dict) -> None:
        torch.save(content, path)
        data = path.read_bytes()
        if name == 'cut':
            data = data[
                : draw.choice(
                    [0, 1, 100, draw.randrange(len(data)), len(data) - draw.randrange(1, 300)]
                )
            ]
        elif name == 'flips':
            data = materials.flipped(data, draw, draw.choice([1, 1, 2, 8]))
        else:
            data = materials.damaged_bytes(data, draw)[1]
        path.write_bytes(data)

    return name, write, True, draw.random() < 0.5


def _some_weight(content: dict, draw: Draw) -> str:
    return draw.choice(
        [k for k, v in content['state_dict'].items() if v.ndim > 0 and v.is_floating_point()]
    )


def _values(draw: Draw) -> Kind:
    """One weight of another value, shape or type."""
    changes: dict[str, tuple[Callable[[torch.Tensor], Any], bool | None]] = {
        'nan': (lambda w: w * float('nan'), False),
        'one nan': (lambda w: w.clone().index_fill_(0, torch.tensor([0]), float('nan')), False),
        'infinite': (lambda w: w + float('inf'), False),
        'minus infinite': (lambda w: w - float('inf'), False),
        'transposed': (lambda w: w[..., None], False),
        'flat': (lambda w: torch.cat([w.flatten(), w.flatten()]), False),
        'empty': (lambda w: w[:0], False),
        'a number': (lambda w: 1.0, False),
        'none': (lambda w: None, False),
        'a list': (lambda w: w.tolist(), False),
        'a text': (lambda w: 'weights', False),
        'float64': (lambda w: w.double(), True),
        'bfloat16': (lambda w: w.bfloat16(), None),
        'float8': (lambda w: w.to(torch.float8_e4m3fn), None),
        'integers': (lambda w: (w * 100).to(torch.int64), False),
        'bool': (lambda w: w > 0, False),
        'complex': (lambda w: w.to(torch.complex64) * 1j, False),
        'sparse': (lambda w: w.to_sparse(), False),
        'quantized': (lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8), False),
        'on no device': (lambda w: w.to('meta'), False),
        'expanded': (lambda w: w.flatten()[:1].expand(w.shape), None),
        'another order in memory': (
            lambda w: w.t().contiguous().t() if w.ndim == 2 else w.clone(),
            True,
        ),
        'a parameter': (torch.nn.Parameter, True),
    }
    name = draw.choice(list(changes))
    change, same = changes[name]

    def write(path: Path, content: dict) -> None:
        key = _some_weight(content, draw)
        content['state_dict'][key] = change(content['state_dict'][key])
        torch.save(content, path)

    return f'a weight: {name}', write, same, draw.random() < 0.4


class _Payload:
    """Unpickling it calls a function."""

    def __init__(self, function: Callable, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def _hostile(draw: Draw) -> Kind:
    """A pickle that runs something when it is read without care."""
    code = "import builtins; builtins.hostile_code_ran = True; open('hostile', 'w')"
    payloads = {
        'exec': _Payload(exec, code),
        'eval': _Payload(eval, f'exec({code!r})'),
        'os.system': _Payload(os.system, 'touch hostile'),
        'getattr': _Payload(getattr, 'text', 'upper'),
        'import': _Payload(__import__, 'antigravity'),
        'open': _Payload(open, 'hostile', 'w'),
        'torch.load': _Payload(torch.load, 'other.pth'),
        'torch.save': _Payload(torch.save, 1, 'hostile'),
        'a module': torch.nn.Linear(2, 2),
        'a path': Path('hostile'),
    }
    name = draw.choice(list(payloads))
    where = draw.choice(['meta', 'state_dict', 'optimizer', 'top', 'key', 'whole'])
    old_format = draw.random() < 0.4

    def write(path: Path, content: dict) -> None:
        payload = payloads[name]
        if where == 'whole':
            content = payload
        elif where == 'key':
            content[(payload,) if name == 'a path' else 'x'] = [payload]
        elif where == 'top':
            content['extra'] = payload
        else:
            content[where]['extra'] = payload
        torch.save(content, path, _use_new_zipfile_serialization=not old_format)

    return (
        f'{name} in {where}{", old format" if old_format else ""}',
        write,
        None if name == 'getattr' else False,  # read as nothing: mmengine's histories name it
        draw.random() < 0.3,
    )


def _state(draw: Draw) -> Kind:
    """State to resume from: shapes, types and values that no run can have."""
    values: list[Any] = [
        -5,
        10**9,
        1.5,
        float('nan'),
        float('inf'),
        None,
        'x',
        [],
        {},
        torch.zeros(3),
        torch.zeros(0),
        True,
        torch.tensor(float('nan')),
        torch.zeros(1).expand(1000),
        (2, 3),
    ]
    value = draw.choice(values)
    spelled = str(value).replace('\n', ' ')[:40]
    target = draw.choice(['state', 'state', 'group', 'meta', 'schedule', 'top'])
    removed = draw.random() < 0.2
    picked: list[str] = []

    def write(path: Path, content: dict) -> None:
        place = dict(
            state=content['optimizer']['state'][0],
            group=content['optimizer']['param_groups'][0],
            meta=content['meta'],
            schedule=content['schedule'][0],
            top=content['optimizer'],
        )[target]
        # What a run does not read may be anything.
        unread = (
            'config',
            'hrdet_version',
            'palette',
            'box_convention',
            'metrics',
            'without_state',
            'data',
            'initial_lr',  # another one is told, and used
        )
        unread += (
            'foreach',
            'maximize',
            'capturable',
            'differentiable',
            'fused',
            'decoupled_weight_decay',
            'amsgrad',
        )
        key = draw.choice([k for k in place if k not in unread])
        picked.append(key)
        if removed:
            del place[key]
        else:
            place[key] = value
        torch.save(content, path)

    name = f'{target}: {"an entry removed" if removed else f"an entry = {spelled}"}'
    return name, write, True, True


def _container(draw: Draw) -> Kind:
    """The same weights under the keys of other programs: read right, or refused by name."""
    prefix = draw.choice(['', 'module.', 'model.', '_orig_mod.', 'module.model.', 'net.', 'ema.'])
    wrap: dict[str, Callable[[dict], Any]] = {
        'bare': lambda w: w,
        'model': lambda w: {'model': w, 'epoch': 3},
        'net': lambda w: {'net': w},
        'model_state_dict': lambda w: {'model_state_dict': w, 'optimizer_state_dict': {}},
        'weights': lambda w: {'weights': w},
        'params': lambda w: {'params': w, 'params_ema': w},
        'state_dict_ema': lambda w: {'state_dict_ema': w},
        'model_ema': lambda w: {'model_ema': w, 'args': {}},
        'lightning': lambda w: {
            'state_dict': w,
            'pytorch-lightning_version': '2.0',
            'callbacks': {},
        },
        'deep': lambda w: {'a': {'b': {'state_dict': w}}},
        'a list': lambda w: [w],
        'pairs': lambda w: {'state_dict': list(w.items())},
        'two models': lambda w: {'generator': w, 'discriminator': w},
        'nothing': lambda w: {'epoch': 3},
    }
    name = draw.choice(list(wrap))

    def write(path: Path, content: dict) -> None:
        torch.save(wrap[name]({prefix + k: v for k, v in content['state_dict'].items()}), path)

    return f'under {name}, prefix {prefix!r}', write, True, False


def _archive(draw: Draw) -> Kind:
    """The zip around the tensors written again."""
    name = draw.choice(
        [
            'deflated',
            'without a record',
            'a record cut',
            'a record twice',
            'records exchanged',
            'no checksums',
            'a comment',
            'a bomb',
        ]
    )

    def write(path: Path, content: dict) -> None:
        plain = io.BytesIO()
        torch.save(content, plain)
        with zipfile.ZipFile(plain) as file:
            records = {info.filename: file.read(info) for info in file.infolist()}
        names = sorted(n for n in records if '/data/' in n)
        one, other = draw.sample(names, 2)
        if name == 'without a record':
            del records[one]
        elif name == 'a record cut':
            records[one] = records[one][:-4] or b''
        elif name == 'records exchanged':
            while len(records[one]) == len(records[other]):
                one, other = draw.sample(names, 2)
            records[one], records[other] = records[other], records[one]
        elif name == 'a bomb':
            records[one] = bytes(1 << 31)
        kind = zipfile.ZIP_DEFLATED if name in ('deflated', 'a bomb') else zipfile.ZIP_STORED
        with warnings.catch_warnings(), zipfile.ZipFile(path, 'w', kind) as file:
            warnings.simplefilter('ignore')
            for record, data in records.items():
                file.writestr(record, data)
            if name == 'a record twice':
                file.writestr(one, bytes(len(records[one])))
            if name == 'a comment':
                file.comment = b'x' * 200
        if name == 'no checksums':
            path.write_bytes(_without_checksums(path.read_bytes()))

    return f'archive: {name}', write, True, draw.random() < 0.3


def _without_checksums(data: bytes) -> bytes:
    changed = bytearray(data)
    at = changed.find(b'PK\x01\x02')
    while at >= 0:
        changed[at + 16 : at + 20] = bytes(4)
        at = changed.find(b'PK\x01\x02', at + 4)
    return bytes(changed)


def _safetensors(draw: Draw) -> Kind:
    """A safetensors file: bytes, header and meta."""
    name = draw.choice(
        [
            'sound',
            'cut',
            'a byte of the header',
            'a long header',
            'offsets',
            'meta',
            'nan',
            'no tensors',
            'bytes',
        ]
    )

    def write(path: Path, content: dict) -> None:
        path = path.with_suffix('.safetensors')
        weights = {k: v.contiguous().clone() for k, v in content['state_dict'].items()}
        if name == 'nan':
            weights[_some_weight(content, draw)].fill_(float('nan'))
        save_safetensors(
            path, {} if name == 'no tensors' else weights, dict(classes=content['meta']['classes'])
        )
        data = path.read_bytes()
        length = struct.unpack('<Q', data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        if name == 'cut':
            data = data[: draw.choice([0, 4, 8, length, len(data) - 1, draw.randrange(len(data))])]
        elif name == 'a byte of the header':
            data = materials.flipped(data[: 8 + length], draw, 1) + data[8 + length :]
        elif name == 'bytes':
            data = materials.damaged_bytes(data[:200], draw)[1] + data[200:]
        elif name == 'a long header':
            data = struct.pack('<Q', 1 << draw.choice([40, 62, 63])) + data[8:]
        elif name in ('offsets', 'meta'):
            key = draw.choice([k for k in header if k != '__metadata__'])
            if name == 'meta':
                header['__metadata__']['hrdet_meta'] = draw.choice(
                    ['{', '[]', '5', '{"classes": 5}', '"x"']
                )
            else:
                header[key]['data_offsets'] = draw.choice([[0, 0], [0, 2**60], [-1, 4], [4, 0]])
            text = json.dumps(header).encode()
            data = struct.pack('<Q', len(text)) + text + data[8 + length :]
        path.write_bytes(data)

    same: bool | None = name not in ('nan', 'no tensors')
    return f'safetensors: {name}', write, same, False
