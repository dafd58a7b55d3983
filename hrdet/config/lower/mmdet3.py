"""Object detection as mmdetection 3 writes it: data sets, pipelines and metrics."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from hrdet.config.lower.detection import METRICS, lower_detection
from hrdet.config.lower.mmdet3_steps import detection_steps
from hrdet.config.lower.nested_detection import flat_detector
from hrdet.config.lower.original_paths import errors_at_original_paths, with_original_paths
from hrdet.config.lower.pipeline import from_steps
from hrdet.config.lower.splits import Split, tta_node
from hrdet.config.lower.transforms import Context, ThreeNumbers
from hrdet.config.node import Node, check, check_choice, check_typed, read
from hrdet.ranges import Count, NotNegative
from hrdet.registry import is_custom, nearest

# Path in the 2019 sections -> path in a config of mmdetection 3.
_PLACES = (
    (r'^data\.(train|val|test)\b', r'\1_dataloader.dataset'),
    (r'^evaluation\b', 'val_evaluator'),
    (r'\.img_scale$', '.scale'),
    (r'\.flip_ratio$', '.prob'),
)


def lower_mmdet3(model: Node, splits: dict[str, Split]) -> dict[str, Any]:
    """Arguments of ``RunConfig`` for the model and its data, and ``warnings``.

    ``model`` holds ``data_preprocessor``; the evaluators of the splits are lowered already.
    """
    section = model['data_preprocessor']
    check(section is not None, 'model.data_preprocessor', 'this key is required')
    # In mmdetection 1 normalising and padding are the last steps of a pipeline.
    last = read(_preprocessor, section, section.path)
    flat, train_cfg, test_cfg, rules = flat_detector(model)
    if 'semantic_head' in flat:
        last.append(Node(section.path, type='SegRescale', scale_factor=1 / 8))
    rules = (*rules, *_PLACES)
    data = Node('data', imgs_per_gpu=1)
    for name, split in splits.items():
        images = partial(read, _images, training=split.training, last=last)
        data[name] = translated(split.dataset, split.path, images, ('ignore_keys', 'lazy_init'))
    with errors_at_original_paths(rules):
        sections = dict(train_cfg=train_cfg, test_cfg=test_cfg)
        lowered = lower_detection('', model=flat, data=data, **sections)
    # Batch sizes, evaluators and tta, which this language states for each split.
    masks = 'mask_head' in lowered['model'].get('roi_head', {})
    for name, split in splits.items():
        lowered[name] |= dict(batch_size=split.batch_size, num_workers=split.num_workers)
        if split.evaluator is not None:
            lowered[name]['evaluator'] = checked_evaluator(
                split.evaluator, lowered[name]['dataset'], masks
            )
        if split.tta is not None:
            lowered[name]['tta'] = _augmented(split.tta, last)
    return {key: with_original_paths(value, rules) for key, value in lowered.items()}


def _augmented(views: list[list[Node]], last: list[Node]) -> Node:
    """The node ``tta``: what ``--tta`` of tools/test.py uses."""
    path, context = views[0][0].path, Context(False, 'continuous', False, None, False, None)
    pipelines = [
        read(from_steps, dict(pipeline=detection_steps(steps, path, last)), path, context=context)
        for steps in views
    ]
    return tta_node(path, [pipeline.transforms for pipeline in pipelines])


def coco_metric(
    path: str,
    *,
    type: Literal['CocoMetric'],
    ann_file: str | None = None,
    metric: str | list[str] = 'bbox',
    format_only: Literal[False] = False,
    classwise: bool = False,
    backend_args: None = None,
) -> Node:
    """The evaluator.  ``ann_file`` is that of the data set, which is taken from there.

    Metrics of each class are always written.
    """
    metrics = [metric] if isinstance(metric, str) else list(metric)
    for name in metrics:
        check_choice(name, METRICS, f'{path}.metric')
    return Node(path, type=type, metrics=metrics, ann_file=ann_file)


def checked_evaluator(evaluator: Node, dataset: Node, masks: bool) -> Node:
    """The evaluator, after checking that its file and metrics suit the data set and the model."""
    path, file, ours = evaluator.path, evaluator['ann_file'], str(dataset.get('ann_file'))
    other = f'{file!r} is not the file of the data set, {ours!r}: leave it out'
    check(file is None or str(file).endswith(ours), f'{path}.ann_file', other)
    unpredicted = "'segm' measures masks, and the model has no mask_head: leave it out"
    check(masks or 'segm' not in evaluator['metrics'], f'{path}.metric', unpredicted)
    return Node(path, type='CocoMetric', metrics=evaluator['metrics'])


def _preprocessor(
    path: str,
    *,
    type: Literal['DetDataPreprocessor'],
    mean: ThreeNumbers,
    std: ThreeNumbers,
    bgr_to_rgb: bool = False,
    rgb_to_bgr: Literal[False] = False,
    pad_size_divisor: Count = 1,
    pad_value: Literal[0] = 0,
    pad_mask: bool = False,
    mask_pad_value: Literal[0] = 0,
    pad_seg: bool = False,
    seg_pad_value: Literal[255] = 255,
    boxtype2tensor: Literal[True] = True,
    non_blocking: bool = False,
    batch_augments: None = None,
) -> list[Node]:
    """The steps that normalise and pad; masks and semantic maps are padded with their images."""
    norm = Node(path, type='Normalize', mean=mean, std=std, to_rgb=bgr_to_rgb)
    return [norm, Node(path, type='Pad', size_divisor=pad_size_divisor)]


def translated(
    section: Any, path: str, translate: Callable[[Node, str], Node], left_out: Sequence[str] = ()
) -> Any:
    """A data set, a wrapper or a list of them, with every data set translated to 2019.

    ``left_out`` are keys of wrappers that have no effect here.
    """
    if isinstance(section, (list, tuple)):
        parts = enumerate(section)
        return [translated(part, f'{path}[{i}]', translate, left_out) for i, part in parts]
    kind = check_typed(section, path)['type']
    if kind in ('RepeatDataset', 'ClassBalancedDataset', 'ConcatDataset'):
        inner = 'datasets' if kind == 'ConcatDataset' else 'dataset'
        check(inner in section, f'{path}.{inner}', 'this key is required')
        # The wrapper itself is the same in 2019; only what is inside it is translated.
        rest = {key: value for key, value in section.items() if key not in left_out}
        rest[inner] = translated(section[inner], f'{path}.{inner}', translate, left_out)
        return Node(path, rest)
    known = ('CocoDataset', 'VOCDataset')
    other = f'hrdet has no data set {kind!r}{nearest(kind, known)}; supported: {", ".join(known)}'
    check(kind in known or is_custom(kind), f'{path}.type', other)
    return translate(section, path)


def _images(
    path: str,
    *,
    type: str,
    data_root: str | None = None,
    ann_file: str,
    data_prefix: Node | None = None,
    filter_cfg: Node | None = None,
    metainfo: Node | None = None,
    pipeline: list[Node],
    test_mode: bool = False,
    backend_args: None = None,
    lazy_init: Literal[False] = False,
    training: bool,
    last: list[Node],
    **rest: Any,
) -> Node:
    values = {} if data_root is None else dict(data_root=data_root)
    values |= read(_prefixes, data_prefix or {}, f'{path}.data_prefix')
    # mmdetection 3 filters images only on request, the 2019 language by default.
    filters = read(_filters, filter_cfg or {}, f'{path}.filter_cfg')
    values |= filters if training else {}  # a test takes every image
    if metainfo is not None:
        values |= read(_metainfo, metainfo, f'{path}.metainfo')
    steps = detection_steps(pipeline, f'{path}.pipeline', last)
    return Node(path, rest, type=type, ann_file=ann_file, pipeline=steps, **values)


def _prefixes(
    path: str,
    *,
    img: str | None = None,
    img_path: str | None = None,
    seg: str | None = None,
    sub_data_root: str | None = None,
) -> dict[str, str]:
    """Folders of images and of semantic maps; of VOC the folder of both kinds of files."""
    images = [folder for folder in (img, img_path, sub_data_root) if folder is not None]
    check(len(images) <= 1, path, 'img, img_path and sub_data_root say the same here: keep one')
    found = dict(img_prefix=images[0]) if images else {}
    return found if seg is None else found | dict(seg_prefix=seg)


def _filters(
    path: str,
    *,
    filter_empty_gt: bool = False,
    min_size: NotNegative = 0,
    bbox_min_size: None = None,
) -> dict[str, Any]:
    found = dict(filter_empty=filter_empty_gt, min_size=min_size)
    defaults = dict(filter_empty=True, min_size=32)
    return {key: value for key, value in found.items() if value != defaults[key]}


def _metainfo(path: str, *, classes: Any = None, palette: Any = None) -> dict[str, Any]:
    """Colours of classes are for pictures, which choose their own."""
    names = (classes,) if isinstance(classes, str) else classes
    return {} if names is None else dict(classes=names)
