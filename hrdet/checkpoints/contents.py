"""Find the weights, meta, class names and averaged weights in the content of a checkpoint."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from hrdet.checkpoints.files import Bookkeeping, CheckpointError, read_checkpoint

_WRAPPERS = ('module.', '_orig_mod.')  # DistributedDataParallel, torch.compile
# What a program calls the model within a module of its own: removed where all entries have it.
_PREFIXES = ('model.', 'net.', 'network.', 'ema_model.', 'ema.')
# Keys under which training programs save weights, and their moving average (timm's, BasicSR's).
_WRAPPINGS = ('state_dict', 'model', 'model_state_dict', 'net', 'network', 'weights', 'params')
_AVERAGES = ('state_dict_ema', 'model_ema', 'params_ema')
_DEEPEST = 8  # levels of nesting that are searched
_AS_STATE_DICT = "save_checkpoint(new, dict(state_dict=read_checkpoint(file)['KEY']))"
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
    """The weights of a file, of its content, or of a state_dict.

    Of a content they are what lies under a usual key (``state_dict``, ``model``, ``net``, ...), or
    else under the only key that holds tensors by name.

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
        inside = _inside(content, name, average)
        if inside is None:
            break
        outer, content = content, inside
        meta = content.get('meta', meta)
    # 2. Its tensors, dense and under bare names.
    weights = _tensors(content)
    if not weights:
        keys = ', '.join(map(str, list(content)[:8])) or 'nothing'
        place = ''.join(f'[{key!r}]' for key, value in outer.items() if value is content)
        if any(isinstance(value, Bookkeeping) for value in content.values()):
            raise CheckpointError(
                f'{name}: the values of {keys} are numpy arrays, which are not read. If you know '
                f'the file, save tensors instead: content = read_checkpoint(file, trusted=True)'
                f'{place}; save_checkpoint(new, {{k: torch.from_numpy(v) for k, v in '
                f'content.items()}})'
            )
        raise CheckpointError(
            f'{name}: no weights in it, only {keys}. Tensors by name are read, under state_dict, '
            f'model or a key of your own: {_AS_STATE_DICT}'
        )
    _check_dense(weights, name)
    # 3. With EMA ``state_dict`` is the average; the trained weights are stored elsewhere.
    if not average and not any(key in outer for key in _AVERAGES):
        weights.update(_in_training(outer, weights, name))
    named = (*_WRAPPINGS, *_AVERAGES, 'meta')
    rest = () if content is outer else tuple(k for k in outer if k not in named)
    meta = dict(meta) if isinstance(meta, Mapping) else {}
    _check_classes(meta, name)
    return Content(name, weights, meta, rest)


def _inside(content: Mapping[str, Any], name: str, average: bool) -> Mapping[str, Any] | None:
    """The dict of a content that holds the weights; None if they lie in the content itself."""
    # 1. The usual keys.
    for key in (*(_AVERAGES if average else ()), *_WRAPPINGS):
        if isinstance(content.get(key), Mapping):
            return content[key]
    # 2. Any other, if it is the only one that holds tensors.
    if _tensors(content):
        return None
    tables = {k: v for k, v in content.items() if isinstance(v, Mapping) and _holds_weights(v)}
    if len(tables) > 1:
        raise CheckpointError(
            f'{name}: there are weights under several keys, {", ".join(map(str, tables))}. Choose: '
            f'{_AS_STATE_DICT}'
        )
    return next(iter(tables.values()), None)


def _holds_weights(table: Mapping[str, Any], depth: int = _DEEPEST) -> bool:
    """Whether there are tensors by name in a dict, or in one within it."""
    if 'param_groups' in table:  # an optimizer's state
        return False
    inner = (v for v in table.values() if isinstance(v, Mapping)) if depth else ()
    return bool(_tensors(table)) or any(_holds_weights(one, depth - 1) for one in inner)


def class_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Class names: hrdet's ``classes``, mmdetection's ``CLASSES``, 3.x's ``dataset_meta``."""
    return next((tuple(names) for _, names in _stated_classes(meta) if _are_names(names)), None)


def _stated_classes(meta: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Each place in a meta that says which classes there are, and what it says."""
    for place, table in (('meta', meta), ('meta.dataset_meta', _table(meta.get('dataset_meta')))):
        for key in ('classes', 'CLASSES'):
            if table.get(key) is not None:
                yield f'{place}.{key}', table[key]


def _check_classes(meta: Mapping[str, Any], name: str) -> None:
    """Refuse names of classes that are no texts: they are compared with those of the data."""
    for place, names in _stated_classes(meta):
        if not _are_names(names):
            keys = ''.join(f'[{key!r}]' for key in place.split('.'))
            raise CheckpointError(
                f'{name}: {place} is not a list of the names of the classes: {repr(names)[:60]}. '
                f'Correct it: content = read_checkpoint(file); content{keys} = [...]; '
                f'save_checkpoint(new, content)'
            )


def _are_names(names: Any) -> bool:
    return isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)


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


def saved_classes(
    content: Mapping[str, Any], name: str = 'state_dict'
) -> tuple[str, ...] | int | None:
    """The class names that the content of the file ``name`` carries, or their number K."""
    _, weights, meta, _ = unpack(content, name=name)
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
    tensors = {
        _without_wrappers(key): value
        for key, value in table.items()
        if isinstance(value, Tensor) and isinstance(key, str) and key not in _COUNTERS
    }
    for prefix in _PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            return _tensors({key.removeprefix(prefix): v for key, v in tensors.items()})
    return tensors


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
