"""Find the weights, meta, class names and averaged weights in the content of a checkpoint."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from hrdet.checkpoints.files import CheckpointError, read_checkpoint

_WRAPPERS = ('module.', '_orig_mod.')  # DistributedDataParallel, torch.compile
_WRAPPINGS = ('state_dict', 'model')  # keys under which training programs save weights
_DEEPEST = 8  # levels of nesting that are searched
_COUNTERS = ('n_averaged', 'steps')  # of an average of weights: torch's, mmengine's


class Content(NamedTuple):
    """Weights with bare names, and what the file says about them."""

    name: str  # the file's, for messages
    weights: dict[str, Tensor]
    meta: dict[str, Any]
    rest: tuple[str, ...] = ()  # other entries beside them: optimizer, ...


def unpack(
    source: str | os.PathLike | Mapping[str, Any],
    trusted: bool = False,
    name: str = 'state_dict',
    average: bool = True,
) -> Content:
    """The weights of a file, of its content (``state_dict`` or ``model``), or of a state_dict.

    Args:
        source: the file, its content, or the state_dict.
        trusted: see ``read_checkpoint``.
        name: what messages call a source that is not a file.
        average: take the moving average of the weights (EMA) where the training kept one, which
            hrdet, mmengine and mmcv test; False takes the weights that training resumes from.

    Raises:
        FileNotFoundError, CheckpointError: no such file, no weights in it, or no average.
    """
    content = source
    if not isinstance(source, Mapping):
        name, content = str(source), read_checkpoint(source, trusted)
    # 1. The innermost state_dict; training programs nest it in dicts with optimizer state and meta.
    outer, meta = content, content.get('meta')
    for _ in range(_DEEPEST):
        inside = [content[key] for key in _WRAPPINGS if isinstance(content.get(key), Mapping)]
        if not inside:
            break
        outer, content = content, inside[0]
        meta = content.get('meta', meta)
    # 2. Its tensors, dense and under bare names.
    weights = _tensors(content)
    if not weights:
        keys = ', '.join(map(str, list(content)[:8])) or 'nothing'
        raise CheckpointError(f'{name}: no weights in it, only {keys}')
    _check_dense(weights, name)
    # 3. With EMA ``state_dict`` is the average; the trained weights are stored elsewhere.
    if not average:
        weights.update(_in_training(outer, weights, name))
    rest = () if content is outer else tuple(k for k in outer if k not in (*_WRAPPINGS, 'meta'))
    return Content(name, weights, dict(meta) if isinstance(meta, Mapping) else {}, rest)


def class_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Class names: hrdet's ``classes``, mmdetection's ``CLASSES``, 3.x's ``dataset_meta``."""
    for table in (meta, _table(meta.get('dataset_meta'))):
        for key in ('classes', 'CLASSES'):
            names = table.get(key)
            if isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names):
                return tuple(names)
    return None


def class_count(key: str, shape: tuple[int, ...]) -> int | None:
    """K, if this entry scores classes: a box head's rows count the background, others do not."""
    # roi_head.bbox_head.fc_cls.weight -> fc_cls
    layer = key.rpartition('.')[0].rpartition('.')[2]
    if not shape:
        return None
    if layer == 'fc_cls':
        return shape[0] - 1
    counted = layer in ('conv_cls', 'fcos_cls', 'conv_seg', 'classifier')
    return shape[0] if counted or key.startswith(('head.fc.', 'last_layer.3.')) else None


def saved_classes(content: Mapping[str, Any]) -> tuple[str, ...] | int | None:
    """The class names that a checkpoint's content carries, or at least their number K."""
    _, weights, meta, _ = unpack(content)
    counts = (class_count(key, value.shape) for key, value in weights.items())
    return class_names(meta) or next(filter(None, counts), None)


def saved_palette(content: Mapping[str, Any]) -> tuple[tuple[int, int, int], ...] | None:
    """The colours (R, G, B) of the classes that a checkpoint's content carries."""
    meta = unpack(content).meta
    for table in (meta, _table(meta.get('dataset_meta'))):
        for key in ('palette', 'PALETTE'):
            colours = table.get(key)
            if isinstance(colours, (list, tuple)) and all(
                isinstance(c, (list, tuple)) and len(c) == 3 for c in colours
            ):
                return tuple(tuple(colour) for colour in colours)
    return None


def _check_dense(weights: Mapping[str, Tensor], name: str) -> None:
    for key, value in weights.items():
        kind = 'quantized' if value.is_quantized else str(value.layout).removeprefix('torch.')
        if kind != 'strided':
            raise CheckpointError(f'{name}: {key} is a {kind} tensor; save dense ones')


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tensors(table: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state_dict; entries without a name are not a module's."""
    return {
        _without_wrappers(key): value
        for key, value in table.items()
        if isinstance(value, Tensor) and isinstance(key, str) and key not in _COUNTERS
    }


def _without_wrappers(key: str) -> str:
    while key.startswith(_WRAPPERS):
        key = key.split('.', 1)[1]
    return key


def _in_training(
    content: Mapping[str, Any], weights: Mapping[str, Tensor], name: str
) -> dict[str, Tensor]:
    """The weights that are averaged: hrdet's, mmengine's or mmcv's record of them."""
    # hrdet keeps them under ema.training, mmengine under ema_state_dict.
    record = _tensors(_table(_table(content.get('ema')).get('training')))
    record |= _tensors(_table(content.get('ema_state_dict')))
    trained = {key: record[key] for key in weights if key in record}
    if not trained:  # mmcv's: the trained weights are buffers under flat names
        flat = {key: f'ema_{key.replace(".", "_")}' for key in weights}
        trained = {key: weights[buffer] for key, buffer in flat.items() if buffer in weights}
    if not trained:
        raise CheckpointError(
            f'{name}: holds no moving average (EMA) beside its weights, which are the trained ones'
        )
    return trained
