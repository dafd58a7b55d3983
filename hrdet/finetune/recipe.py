"""The settings of a config that follow from the data: sets, sizes, batch and schedule."""

from typing import Any

from hrdet.config import Node, RunConfig
from hrdet.finetune.batch import (
    available_memory,
    largest_batch,
    max_useful_batch,
    memory_of,
    shape_of,
)
from hrdet.finetune.data import OwnData
from hrdet.messages import plural

_DATA_KEYS = {  # arguments of data sets that say where and what the data are
    'type', 'data_root', 'ann_file', 'img_prefix', 'img_dir', 'ann_dir', 'split', 'data_prefix',
    'classes', 'palette', 'img_suffix', 'seg_map_suffix', 'reduce_zero_label', 'ignore_index',
    'dataset', 'datasets', 'times', 'proposal_file', 'exif',
}  # fmt: skip
_ITERATIONS = 3000  # of a run that starts from published weights; from scratch twice as many
_EPOCHS = (12, 100)
_FINE_TUNED = 0.5  # times the published learning rate
_VALIDATIONS = 20
_KEPT = 2  # checkpoints
_LEAST_EDGE = 64  # pixels: HRNet divides by 32
_WARM_UP = 0.1  # of the run, at most


def drop_semantic_branch(run: RunConfig, notes: list[str]) -> None:
    """Leave out the branch of HTC that learns from label maps of whole images."""
    dataset = run.train['dataset']
    if 'seg_prefix' not in dataset:
        return
    steps = [step for step in dataset['transforms'] if step['type'] != 'SegRescale']
    maps = ('seg_prefix', 'semantic_classes')
    rest = {key: value for key, value in dataset.items() if key not in maps}
    run.train = run.train.replaced(dataset=Node(dataset.path, rest | dict(transforms=steps)))
    roi_head = run.model['roi_head'].replaced(semantic_head=None, semantic_roi_extractor=None)
    run.model = run.model.replaced(roi_head=roi_head)
    notes.append('without the semantic branch: the data have no label maps beside the objects')


def set_data(run: RunConfig, data: OwnData, notes: list[str]) -> None:
    """The data sets in place of the published ones, with the same transforms."""
    parts = {'train': data.train, 'val': data.val, 'test': data.test or data.val}
    # The published transforms stay; files, classes and filters become those of the user's data.
    for name, part in parts.items():
        section = getattr(run, name)
        old = _innermost(section['dataset'])
        kept = {key: value for key, value in old.items() if key not in _DATA_KEYS}
        dataset = Node(f'{name}.dataset', {}, **part.dataset, **kept)
        section = section.replaced(dataset=dataset)
        section.pop('tta', None)  # views of the published sizes
        if 'evaluator' in section:
            section = section.replaced(evaluator=_evaluator(section['evaluator'], data))
        setattr(run, name, section)
    run.model = _without_num_classes(run.model)
    run.classes = None


def _innermost(dataset: Node) -> Node:
    """The data set inside wrappers that repeat or join."""
    while 'transforms' not in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def _evaluator(node: Node, data: OwnData) -> Node:
    """Accuracies of no more guesses than there are classes."""
    if 'topk' not in node:
        return node
    topk = (node['topk'],) if isinstance(node['topk'], int) else node['topk']
    return node.replaced(topk=tuple(k for k in topk if k < len(data.classes)) or (1,))


def _without_num_classes(model: Any) -> Any:
    """The model with heads that take their classes from the data."""
    if isinstance(model, Node):
        filled = {key: _without_num_classes(part) for key, part in model.items()}
        return model.replaced(**filled | ({'num_classes': None} if 'num_classes' in model else {}))
    if isinstance(model, (list, tuple)):
        return type(model)(_without_num_classes(part) for part in model)
    return model


def set_size(run: RunConfig, data: OwnData, notes: list[str]) -> None:
    """Sizes of the transforms: the published ones, or the data's where these are smaller."""
    # 1. Would the test enlarge a typical image?
    published = _test_size(run)
    long, short = max(data.size), min(data.size)
    if min(max(published) / long, min(published) / short) <= 1:
        return
    # 2. Then its own size is that of the test; the other sizes change with it.
    ratios = (max(long, _LEAST_EDGE) / max(published), max(short, _LEAST_EDGE) / min(published))
    for name in ('train', 'val', 'test'):
        section = getattr(run, name)
        steps = [_scaled(step, ratios, data.size) for step in section['dataset']['transforms']]
        section = section.replaced(dataset=section['dataset'].replaced(transforms=steps))
        if section.get('pad_size'):
            section = section.replaced(pad_size=_times(section['pad_size'], ratios, 32))
        setattr(run, name, section)
    w, h = _test_size(run)
    notes.append(
        f'images of {data.size[1]} x {data.size[0]} pixels: the sizes of the config, '
        f'{published[0]} x {published[1]} in the test, become {w} x {h}'
    )


def _test_size(run: RunConfig) -> tuple[int, int]:
    """(w, h) that the images of a test are scaled to."""
    for step in run.val['dataset']['transforms']:
        if step['type'] == 'Resize':
            return max(tuple(scale) for scale in step['scales'])
        if step['type'] == 'CenterCrop':
            edge = step['crop_size']
            return (edge, edge) if isinstance(edge, int) else tuple(edge)
    return 1333, 800


# The sizes in each transform, and what they have to be multiples of.
_SIZES = {
    'Resize': (('scales', 1),),
    'RandomResize': (('scale', 1),),
    'RandResizeCrop': (('scales', 1), ('size', 32)),
    'RandomResizedCrop': (('scale', 32),),
    'ResizeEdge': (('scale', 1),),
    'CenterCrop': (('crop_size', 32),),
}
_CROPS = {'SegRandomCrop': 'crop_size', 'PadToSize': 'size'}  # (h, w): as large as images allow


def _scaled(step: Node, ratios: tuple[float, float], size: tuple[int, int]) -> Node:
    """A transform with sizes times ``ratios``, of the longer and of the shorter edge."""
    key = _CROPS.get(step['type'])
    if key is not None and step.get(key) is not None:
        crop = step[key] if isinstance(step[key], (list, tuple)) else (step[key],) * 2
        fits = (max(edge // 32 * 32, _LEAST_EDGE) for edge in size)
        return step.replaced(**{key: tuple(map(min, crop, fits))})
    changed = {
        key: _times(step[key], ratios, multiple)
        for key, multiple in _SIZES.get(step['type'], ())
        if step.get(key) is not None
    }
    return step.replaced(**changed)


def _times(value: Any, ratios: tuple[float, float], multiple: int) -> Any:
    """An edge, a size or sizes by ratios, rounded to a multiple, one multiple at least."""
    if not isinstance(value, (list, tuple)):
        return max(round(value * min(ratios) / multiple), 1) * multiple
    if value and isinstance(value[0], (list, tuple)):
        return type(value)(_times(item, ratios, multiple) for item in value)
    long, short = ratios
    by_edge = [long if edge == max(value) else short for edge in value]
    return type(value)(
        max(round(edge * ratio / multiple), 1) * multiple for edge, ratio in zip(value, by_edge)
    )


def set_batch(
    run: RunConfig, data: OwnData, batch: int | None, force_cpu: bool, notes: list[str]
) -> None:
    """Images a GPU: what is asked for, or what memory allows."""
    mib, device = available_memory(force_cpu)
    # The memory of an image depends on its pixels, the width, and whether norms are learned.
    if batch is None:
        megapixels = _train_pixels(run) / 1e6
        backbone = run.model['backbone']
        learned = backbone.get('norm_eval') is False
        cascade = run.model['type'].startswith(('Cascade', 'Hybrid'))
        masks = bool(run.train['dataset'].get('with_mask'))
        shape = shape_of(backbone)
        needed = memory_of(data.task, megapixels, shape, learned, cascade, masks)
        fits = largest_batch(mib, *needed)
        few = max(2, len(data.train.files) // 8)  # a handful of steps in an epoch at least
        batch = min(fits, max_useful_batch(data.task, device == 'CPU'), few)
        if learned and batch < 2:
            batch = 2  # batch statistics need two images
        notes.append(
            f'{plural(batch, "image")} a batch: up to {fits} of {megapixels:.2g} megapixels fit '
            f'into {mib / 1024:.1f} GB ({device}), by docs/results/memory.md'
        )
    run.train = run.train.replaced(batch_size=batch)


def _train_pixels(run: RunConfig) -> int:
    """Pixels of an image as the network sees it in training."""
    size = (1333, 800)
    for step in run.train['dataset']['transforms']:
        keys = [*(key for key, _ in _SIZES.get(step['type'], ())), _CROPS.get(step['type'])]
        for value in (step.get(key) for key in keys if key):
            if isinstance(value, int):
                size = (value, value)
            elif value and isinstance(value[0], (list, tuple)):
                size = max(map(tuple, value), key=lambda wh: wh[0] * wh[1])
            elif value:
                size = tuple(value)
    return size[0] * size[1]


def set_schedule(
    run: RunConfig, data: OwnData, started: str, epochs: int | None, notes: list[str]
) -> None:
    """Epochs, warm-up, learning rate and kept checkpoints for a data set of this size."""
    # 1. The epochs asked for, or those of about ``_ITERATIONS`` iterations, in whole intervals of
    #    validation.
    training, steps = run.training, max(1, -(-len(data.train.files) // run.train['batch_size']))
    longer = 2 if started == 'none' else 1
    least, most_epochs = (bound * longer for bound in _EPOCHS)
    rule = min(max(-(-_ITERATIONS * longer // steps), least), most_epochs)
    interval = max(1, round((epochs or rule) / _VALIDATIONS))
    epochs = epochs or -(-rule // interval) * interval  # ends with a validation
    warm_up = max(1, min(500, int(_WARM_UP * epochs * steps)))
    training.schedule = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=warm_up),
        dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=epochs, T_max=epochs),
    ]
    # 2. Everything that counts epochs or iterations follows from them.
    training.max_epochs, training.max_iters = epochs, None
    training.val_interval = interval
    training.checkpoint = dict(interval=interval, max_keep=_KEPT)
    training.log_interval = max(1, min(50, steps // 2))
    # 3. A model whose heads are trained already needs smaller steps.
    factor = _FINE_TUNED if started == 'all' else 1
    lr = training.optimizer['lr'] * factor
    training.optimizer = training.optimizer | dict(lr=lr)
    base = (training.auto_scale_lr or {}).get('base_batch_size')
    meant = f' for {base} images' if base else ''
    notes.append(
        f'{plural(epochs, "epoch")} of {plural(steps, "iteration")}, the first '
        f'{plural(warm_up, "iteration")} warm-up; learning rate {lr:g}{meant}; validation every '
        f'{plural(interval, "epoch")}; the last {_KEPT} checkpoints and the best are kept'
    )
