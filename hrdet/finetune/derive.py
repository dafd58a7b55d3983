"""Write the config of a published model for the user's data."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from hrdet import zoo
from hrdet.config import Node, RunConfig, load_config, lower, lowered_text
from hrdet.data import DataError
from hrdet.download import DownloadError
from hrdet.finetune import recipe
from hrdet.finetune.data import OwnData
from hrdet.finetune.recognise import open_data
from hrdet.messages import plural
from hrdet.registry import ConfigError
from hrdet.weights import find, timm_classifier

# Evaluator of a config -> kind of data that it needs.
_TASKS = {'CocoMetric': 'boxes', 'IoUMetric': 'label maps', 'MeanIoU': 'label maps'}
_EXAMPLES = {
    'boxes': 'faster_rcnn_hrnetv2p_w18_1x',
    'label maps': 'fcn_hr18s_512x1024_40k_cityscapes',
    'classes': 'hrnet-w18_3rdparty_8xb32_in1k',
}


def config_for(
    name: str,
    path: str,
    batch: int | None = None,
    force_cpu: bool = False,
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    on_bad_image: str = 'error',
    epochs: int | None = None,
) -> Path:
    """The config file of a model for the data at ``path``: ``work_dirs/NAME_DATA.py``.

    A file that is there already, which may have been edited, is taken as it is.

    Raises:
        ConfigError: its batch or epochs are not those that are asked for.
    """
    file = _folder(name, path).with_suffix('.py')
    if file.exists():
        run = lower(load_config(file))
        size, length = run.train['batch_size'], run.training.max_epochs
        epochs_told = f' and {plural(length, "epoch")}' if length else ''
        told = f'{plural(size, "image")} a batch{epochs_told}'
        if batch not in (None, size) or epochs not in (None, length):
            asked = f'{batch or size} and {epochs or length}'
            raise ConfigError(
                f'{file} has {told}, not {asked} as asked for: edit it, or, for a new run, '
                f'delete it and {file.with_suffix("")}'
            )
        tell(f'{file}: taken as it is, with {told}; delete it to derive it from {path} again')
        return file
    text = derive(name, path, batch, force_cpu, tell, on_bad_image, epochs)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding='utf-8')
    tell(f'written to {file}, which may be edited')
    return file


def derive(
    name: str,
    path: str,
    batch: int | None = None,
    force_cpu: bool = False,
    tell: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    on_bad_image: str = 'error',
    epochs: int | None = None,
) -> str:
    """The text of a config: the model ``name``, set up for the data at ``path``.

    Args:
        name: a published model, or a config file.
        path: see ``open_data``.
        batch: images a GPU; None: as many as memory allows.
        force_cpu: train on the CPU though there is a GPU.
        tell: takes each choice, one line.
        on_bad_image: of the config; 'skip' also leaves out images whose size cannot be read now.
        epochs: length of the training; None: by the size of the data.

    Raises:
        ConfigError, DataError: with the cure.
    """
    # 1. What is there: the published settings, and the data.
    run = lower(load_config(name))
    run.check_trainable()
    folder = _folder(name, path)
    skip = on_bad_image == 'skip'
    data = open_data(os.path.expanduser(path), folder / 'labels', skip)
    _check_task(name, run, data)
    # 2. Weights first: the schedule depends on how much of the model is trained already.
    notes = data.notes
    started = _start(name, run, notes)
    recipe.drop_semantic_branch(run, notes)
    recipe.set_data(run, data, notes)
    recipe.set_size(run, data, notes)
    recipe.set_batch(run, data, batch, force_cpu, notes)
    recipe.set_schedule(run, data, started, epochs, notes)
    run.runtime.work_dir, run.runtime.on_bad_image = f'./{folder}', on_bad_image
    # 3. The choices are reported, and stand at the top of the config.
    for note in notes:
        tell(note)
    comment = ''.join(f'# {note}\n' for note in [f'{name} --data {path}', *notes])
    return comment + lowered_text(run)


def _folder(name: str, path: str) -> Path:
    """The work folder of a model with a data set."""
    data = Path(os.path.abspath(os.path.expanduser(path)))
    data = data.parent if data.name in ('data.yaml', 'data.yml') else data
    return Path('work_dirs', f'{Path(name).stem if name.endswith(".py") else name}_{data.stem}')


def _check_task(name: str, run: RunConfig, data: OwnData) -> None:
    task = _TASKS.get(run.val['evaluator']['type'], 'classes') if run.val else data.task
    if task != data.task:
        raise ConfigError(
            f'{name} learns {task}, but the data are {data.task}; a model for them is '
            f'{_EXAMPLES[data.task]}'
        )
    if run.train['dataset'].get('with_mask') and data.unmasked:
        raise DataError(
            f'{name} learns masks, but {data.unmasked} of the training objects have none; take a '
            f'model of boxes, such as {_EXAMPLES["boxes"]}'
        )


def _start(name: str, run: RunConfig, notes: list[str]) -> str:
    """Set the weights that training starts from: 'all', those of the 'backbone', or 'none'."""
    # The first source that can be had: the whole model, or else its backbone.
    published = zoo.named(name)
    backbones = [run.runtime.pretrained, *_imagenet(run)]
    sources = [('all', published and published.name)] + [('backbone', one) for one in backbones]
    reasons = []
    for kind, source in sources:
        if not source:
            continue
        try:
            if find(source).is_file():
                run.runtime.load_from = source if kind == 'all' else None
                run.runtime.pretrained = source if kind == 'backbone' else None
                what = 'the published weights' if kind == 'all' else 'ImageNet weights'
                notes.append(f'starts from {what} {source}')
                return kind
            reasons.append(f'there is no file {source}')
        except (DownloadError, ConfigError) as error:
            reasons.append(f'{source}: {_short(error)}')
    run.runtime.load_from = run.runtime.pretrained = None
    run.model = _learned_norms(run.model)
    tried = '; '.join(reasons) or 'none are published'
    notes.append(
        'starts from random weights, with norms that are learned, for twice as many epochs. Not to '
        f'be had: {tried}. A file that you have goes into {zoo.cache_folder()}, or --load-from FILE'
    )
    return 'none'


def _imagenet(run: RunConfig) -> list[str]:
    """Where else the ImageNet weights of a backbone that starts from some are published."""
    width = run.model['backbone'].get('width')
    nickname, timm = f'open-mmlab://msra/hrnetv2_w{width}', timm_classifier(width)
    names = [nickname] if nickname in zoo.NICKNAMES else []
    names += [timm] if timm else []
    return names if run.runtime.pretrained else []


def _short(error: Exception) -> str:
    """Why there are no weights; the download has told the rest."""
    if os.environ.get('HRDET_OFFLINE', '0') not in ('', '0'):
        return 'not here, and HRDET_OFFLINE is set'
    if isinstance(error, DownloadError):
        return 'not here, and could not be downloaded'
    return str(error).splitlines()[0]


def _learned_norms(model: Node) -> Node:
    """The model without frozen norms, because random weights need batch statistics."""
    return model.replaced(backbone=model['backbone'].replaced(norm_eval=False))
