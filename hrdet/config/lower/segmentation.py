"""Lower segmentors and their data sets, for both OpenMMLab languages.

The readers of mmsegmentation 0.x and 1.x translate names and positions of keys, and then call the
functions here, so that equal models give equal nodes.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from hrdet.config.lower.backbone import read_backbone
from hrdet.config.lower.segmentation_steps import SegPipeline
from hrdet.config.node import Node, check, check_choice, check_typed, read
from hrdet.ranges import Count, Fraction
from hrdet.registry import ConfigError, is_custom, nearest

# Type of a data set -> whether label 0 in its files is ignored.
DATASETS = {
    'BaseSegDataset': False,
    'CityscapesDataset': False,
    'ADE20KDataset': True,
    'PascalVOCDataset': False,
    'PascalContextDataset': False,
    'PascalContextDataset59': True,
    'LoveDADataset': True,
    'PotsdamDataset': True,
    'ISPRSDataset': True,
    'iSAIDDataset': False,
    'CamVidDataset': False,
}
METRICS = ('mIoU', 'mDice', 'mFscore')
EXAMPLE = 'configs/hrnet/fcn_hr18_512x1024_40k_cityscapes.py'
_IGNORED = 255


def segmentor(
    path: str,
    *,
    type: str,
    backbone: Node,
    decode_head: Node,
    neck: Any = None,
    auxiliary_head: Any = None,
    train_cfg: Node | None = None,
    test_cfg: Node | None = None,
    preprocess: Node,
    weighted_mean: bool = False,
) -> Node:
    """The node of an FCN-HRNet; ``initial_weights`` has removed the names of its weights.

    ``weighted_mean``: with class weights, divide the loss by the sum of the pixels' weights
    (mmsegmentation 1.x) instead of the number of pixels (0.x).
    """
    _check_supported(type, f'{path}.type', ['EncoderDecoder'], 'segmentor')
    if not is_custom(check_typed(backbone, f'{path}.backbone')['type']):
        # Defaults of mmsegmentation: bilinear upsampling in HRNet's fusion, trained batch norms.
        defaults = dict(norm_eval=False, fuse_mode='bilinear')
        backbone = read_backbone(backbone, f'{path}.backbone', EXAMPLE, **defaults)
    for name, part in (('neck', neck), ('auxiliary_head', auxiliary_head)):
        without = f'hrdet has segmentors without it only, as in {EXAMPLE}: set {path}.{name}=None'
        check(part is None, f'{path}.{name}', without)
    check(not train_cfg, f'{path}.train_cfg', 'a segmentor has no settings of training: dict()')
    return Node(
        path,
        type=type,
        preprocess=preprocess,
        backbone=backbone,
        decode_head=_head(decode_head, f'{path}.decode_head', weighted_mean),
        **read(_test_cfg, test_cfg or {}, f'{path}.test_cfg'),
    )


def _check_supported(kind: str, path: str, supported: Iterable[str], what: str) -> None:
    if kind not in supported and not is_custom(kind):
        raise ConfigError(
            f'{path}: hrdet has no {what} {kind!r}; supported: {", ".join(supported)}, as in '
            f'{EXAMPLE}'
        )


def _head(section: Node, path: str, weighted_mean: bool) -> Node:
    kind = check_typed(section, path)['type']
    _check_supported(kind, f'{path}.type', ['FCNHead'], 'decode head')
    if kind == 'FCNHead':
        return read(_fcn_head, section, path, weighted_mean=weighted_mean)
    return Node(path, dict(num_classes=None) | section)


def _fcn_head(
    path: str,
    *,
    type: str,
    num_classes: Count | None = None,
    in_channels: list[int],
    in_index: list[int] | None = None,
    input_transform: Literal['resize_concat'] = 'resize_concat',
    norm_cfg: Node,
    align_corners: Literal[False] = False,
    ignore_index: Literal[255] = _IGNORED,
    loss_decode: Node | list[Node] | None = None,
    sampler: Node | None = None,
    weighted_mean: bool,
    **rest: Any,
) -> Node:
    """``model.decode_head``: resizes all branches to the finest one and concatenates them."""
    # FCN-HRNet always takes all branches, in order; another choice is another model.
    branches = list(range(len(in_channels)))
    every = f'the head takes every branch, {branches}, not {in_index}'
    check(in_index is None or list(in_index) == branches, f'{path}.in_index', every)
    if loss_decode is None:
        loss_decode = {}
    here = f'{path}.loss_decode'
    one = 'one loss is trained with, not a list: the first one, without the brackets'
    check(not isinstance(loss_decode, (list, tuple)), here, one)
    loss = read(_loss, loss_decode, here)
    if 'class_weight' in loss and weighted_mean:
        loss['avg_class_weight'] = True
    if sampler is not None:
        loss['hard_pixel_mining'] = read(_ohem, sampler, f'{path}.sampler')
    norm_cfg = check_typed(norm_cfg, f'{path}.norm_cfg')
    values = dict(num_classes=num_classes, in_channels=in_channels, norm_cfg=norm_cfg)
    return Node(path, rest, type=type, **values, **loss)


def _loss(
    path: str,
    *,
    type: Literal['CrossEntropyLoss'] = 'CrossEntropyLoss',
    use_sigmoid: Literal[False] = False,
    use_mask: Literal[False] = False,
    reduction: Literal['mean'] = 'mean',
    class_weight: list[float] | None = None,
    loss_weight: float = 1.0,
    loss_name: str = 'loss_ce',
    avg_non_ignore: bool = False,
) -> dict[str, Any]:
    """The loss arguments of the head, without those that equal its defaults."""
    found = dict(loss_weight=loss_weight, class_weight=class_weight, avg_non_ignore=avg_non_ignore)
    defaults = dict(loss_weight=1.0, class_weight=None, avg_non_ignore=False)
    return {key: value for key, value in found.items() if value != defaults[key]}


def _ohem(
    path: str,
    *,
    type: Literal['OHEMPixelSampler'],
    thresh: Fraction | None = None,
    min_kept: Count = 100_000,
) -> dict[str, Any]:
    return dict(thresh=thresh, min_kept=min_kept)


def _test_cfg(
    path: str,
    *,
    mode: Literal['whole', 'slide'] = 'whole',
    crop_size: tuple[Count, Count] | None = None,
    stride: tuple[Count, Count] | None = None,
) -> dict[str, Any]:
    if mode == 'whole':
        return {}
    for name, value in (('crop_size', crop_size), ('stride', stride)):
        check(value is not None, f'{path}.{name}', "mode='slide' needs this key: (h, w)")
    return dict(crop_size=tuple(crop_size), stride=tuple(stride))


def iou_evaluator(
    path: str, key: str, metrics: str | Sequence[str], left_out: str | Sequence[str]
) -> Node:
    """The evaluator; ``key`` is the one that names the metrics."""
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in metrics:
        check_choice(name, METRICS, f'{path}.{key}')
    left_out = [left_out] if isinstance(left_out, str) else list(left_out)
    rest = dict(left_out=left_out) if left_out else {}
    return Node(path, type='IoUMetric', iou_metrics=metrics, **rest)


def label_map_dataset(
    path: str,
    *,
    type: str,
    data_root: str | None = None,
    img_dir: str | list[str],
    ann_dir: str | list[str] | None = None,
    split: str | list[str] | None = None,
    classes: Any = None,
    palette: Any = None,
    reduce_zero_label: bool | None = None,
    ignore_index: int = _IGNORED,
    test_mode: bool = False,
    pipeline: SegPipeline,
    **rest: Any,
) -> Node:
    """A data set; a list of folders or of list files gives a ConcatDataset."""
    if type not in DATASETS and not is_custom(type):
        raise ConfigError(
            f'{path}.type: there is no data set {type!r}{nearest(type, DATASETS)}; supported: '
            f"{', '.join(DATASETS)}. Any folders of images and label maps: type='BaseSegDataset' "
            f'with classes, palette, img_suffix and seg_map_suffix'
        )
    # 1. reduce_zero_label stands in the data set or in LoadAnnotations; both must agree.
    reduced = pipeline.reduce_zero_label if reduce_zero_label is None else reduce_zero_label
    if reduced is None:
        reduced = DATASETS.get(type, False)
    other = f'{reduced}, but the pipeline says reduce_zero_label={pipeline.reduce_zero_label}'
    agree = pipeline.reduce_zero_label in (None, reduced)
    check(agree, f'{path}.reduce_zero_label', other)
    # 2. Only what differs from the defaults of the data set.
    values = dict(data_root=data_root, classes=classes, palette=palette)
    values = {key: value for key, value in values.items() if value is not None}
    if reduced != DATASETS.get(type, False):
        values['reduce_zero_label'] = reduced
    if ignore_index != _IGNORED:
        values['ignore_index'] = ignore_index
    # 3. One node for each folder.
    folders = _folders(path, dict(img_dir=img_dir, ann_dir=ann_dir, split=split))
    given = dict(transforms=pipeline.transforms, test_mode=not pipeline.training)
    nodes = [Node(path, rest, type=type, **values, **part, **given) for part in folders]
    return nodes[0] if len(nodes) == 1 else Node(path, type='ConcatDataset', datasets=nodes)


def _folders(path: str, given: dict[str, Any]) -> list[dict[str, str]]:
    """The folders and list file of each part; one that is not a list is used for all parts."""
    lists = {key: value for key, value in given.items() if isinstance(value, (list, tuple))}
    counts = {key: len(value) for key, value in lists.items()}
    same = ', '.join(f'{key} has {count} entries' for key, count in counts.items())
    check(len(set(counts.values())) <= 1 and 0 not in counts.values(), path, f'{same}: give pairs')
    parts = []
    for i in range(max(counts.values(), default=1)):
        part = {key: value[i] if key in lists else value for key, value in given.items()}
        parts.append({key: value for key, value in part.items() if value})
    return parts
