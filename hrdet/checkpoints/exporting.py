"""Export weights for publication: one file in a stated layout, without training state."""

import colorsys
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import hrdet
from hrdet.checkpoints.contents import Content, class_names, saved_palette, unpack
from hrdet.checkpoints.families import (
    Conversion,
    Family,
    convert,
    recognise,
    stated_convention,
    to_official,
)
from hrdet.checkpoints.files import (
    CheckpointError,
    save_checkpoint,
    save_safetensors,
)
from hrdet.download import sha256
from hrdet.messages import plural

_GOLDEN = (5**0.5 - 1) / 2
_INCLUSIVE = (
    'trained with inclusive boxes, but mmdetection 3 uses continuous ones: boxes will be off by up '
    'to a pixel and AP slightly lower'
)

# Layout -> prefixes of the head parameters in models of that toolbox.
_HEADS = {
    'mmdet3': ('rpn_head.', 'roi_head.', 'bbox_head.'),
    'mmpretrain': ('head.fc.',),
    'mmseg': ('decode_head.',),
}


@dataclass(slots=True)
class ExportReport:
    """What was written and what was done to it; ``str(report)`` is for people."""

    path: Path
    family: Family
    conversion: Conversion
    widened: int  # entries of half precision that are float32 now
    left_out: tuple[str, ...]  # entries beside the weights: optimizer state, ...
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        done = self.conversion
        entries = plural(len(done.weights), 'entry', 'entries')
        lines = [
            f'{self.path}: {entries} of {self.family.value} ({done.renamed} '
            f'renamed, {len(done.reordered)} reordered, {self.widened} widened to float32)'
        ]
        lines += [f'  folded into the norm that follows: {key}' for key in done.folded]
        lines += [f'  dropped: {key}' for key in done.dropped]
        lines += [f'  left out: {key}' for key in self.left_out]
        return '\n'.join(lines + [f'  warning: {text}' for text in self.warnings])


def export(
    source: str | os.PathLike,
    target: str | os.PathLike,
    layout: str = 'hrdet',
    average: bool = True,
    with_hash: bool = False,
    overwrite: bool = False,
) -> ExportReport:
    """Write the weights of a checkpoint of any known family into a file of their own.

    Args:
        source: a file that ``load_checkpoint`` takes.
        target: the file to write; for 'safetensors' it ends so, for 'official' it may.
        layout: 'hrdet'; 'mmdet3', 'mmpretrain', 'mmseg': the same weights of that task with the
            meta that these toolboxes read; 'official': the names of HRNet's own classifiers (which
            timm has, too) and segmentors, without meta unless the file is .safetensors; or
            'safetensors', hrdet's layout in that format.
        average: write the moving average of the weights (EMA) where there is one; False: the
            trained weights.
        with_hash: end the name with the first eight digits of the file's sha256, which
            ``read_checkpoint`` verifies.
        overwrite: replace an existing file.

    Raises:
        FileNotFoundError, FileExistsError, CheckpointError: nothing was written.
    """
    target = Path(target)
    named = target.suffix == '.safetensors'
    if layout != 'official' and (layout == 'safetensors') != named:
        raise CheckpointError(
            f'{target}: files of the layout safetensors end in .safetensors, those of official may'
        )
    if target.exists() and not overwrite:
        raise FileExistsError(f'{target}: exists already and is only overwritten if forced')
    content = unpack(source, average=average)
    family = recognise(content.weights, content.meta)
    if family is Family.UNKNOWN:
        keys = ', '.join(list(content.weights)[:4])
        raise CheckpointError(f'{source}: belongs to no known family; its entries are {keys}, ...')
    # 1. hrdet's names, and at least float32.
    done = convert(content.weights, family)
    widened = sum(value.dtype in (torch.float16, torch.bfloat16) for value in done.weights.values())
    done.weights = {key: _compact(value) for key, value in done.weights.items()}
    _check_task(done.weights, layout, source)
    # 2. What the file says about itself.
    meta = _meta(content, family)
    report = ExportReport(target, family, done, widened, content.rest)
    if 'classes' not in meta:
        report.warnings.append('contains no class names: predictions will be shown as numbers')
    if layout in _HEADS:
        _add_openmmlab_meta(meta)
    if layout == 'mmdet3' and meta.get('box_convention') == 'inclusive':
        report.warnings.append(_INCLUSIVE)
    # 3. Write it; the hash is of the finished file.
    _write(target, layout, done.weights, meta, source)
    if with_hash:
        report.path = target.with_name(f'{target.stem}-{sha256(target)[:8]}{target.suffix}')
        os.replace(target, report.path)
    return report


def _compact(value: Tensor) -> Tensor:
    """At least float32, contiguous, and not a view (saving one writes its whole storage)."""
    if value.dtype in (torch.float16, torch.bfloat16):
        value = value.float()
    return value.clone(memory_format=torch.contiguous_format)


def _meta(content: Content, family: Family) -> dict[str, Any]:
    # Only plain values that a reader needs; no optimizer, no paths.
    meta: dict[str, Any] = {'hrdet_version': hrdet.__version__}
    classes = class_names(content.meta)
    convention = stated_convention(family, content.meta)
    if classes:
        meta['classes'] = list(classes)
    if convention:
        meta['box_convention'] = str(convention)
    palette = saved_palette(dict(state_dict=content.weights, meta=content.meta))
    if palette:
        meta['palette'] = [list(colour) for colour in palette]
    copied = {key: content.meta.get(key) for key in ('config', 'epoch', 'iter')}
    return meta | {key: value for key, value in copied.items() if isinstance(value, (str, int))}


def _add_openmmlab_meta(meta: dict[str, Any]) -> None:
    """Add the class names and colours where mmengine's toolboxes look for them."""
    if 'classes' in meta:
        hues = [index * _GOLDEN % 1 for index in range(len(meta['classes']))]  # evenly spread
        colours = [colorsys.hsv_to_rgb(hue, 0.75, 0.95) for hue in hues]
        chosen = [tuple(round(255 * part) for part in colour) for colour in colours]
        palette = [tuple(colour) for colour in meta.get('palette', chosen)]
        meta['dataset_meta'] = dict(classes=tuple(meta['classes']), palette=palette)


def _write(
    target: Path,
    layout: str,
    weights: dict[str, Tensor],
    meta: dict[str, Any],
    source: str | os.PathLike,
) -> None:
    # Files of the HRNet releases are bare state_dicts, without hrdet's meta.
    official = layout == 'official'
    if official:
        meta = {key: value for key, value in meta.items() if key != 'hrdet_version'}
        try:
            weights = to_official(weights)
        except KeyError as error:
            raise CheckpointError(
                f"{source}: HRNet's own releases have no place for {error.args[0]}: write it as "
                f'hrdet'
            ) from None
    if target.suffix == '.safetensors':
        save_safetensors(target, weights, meta)
    else:  # the releases' files hold weights and nothing else
        save_checkpoint(target, weights if official else dict(state_dict=weights, meta=meta))


def _check_task(weights: Mapping[str, Tensor], layout: str, source: str | os.PathLike) -> None:
    """Refuse the layout of another task; a backbone alone belongs to all."""
    # 'official' is the layout of classifiers and of segmentors.
    heads = _HEADS.get(layout, _HEADS['mmpretrain'] + _HEADS['mmseg'])
    key = next((k for k in weights if not k.startswith(('backbone.', 'neck.'))), None)
    if layout in ('hrdet', 'safetensors') or key is None or key.startswith(heads):
        return
    fitting = [name for name, starts in _HEADS.items() if key.startswith(starts)]
    raise CheckpointError(
        f'{source}: holds {key}, for which {layout} has no place: write it as '
        f'{" or ".join([*fitting, "hrdet"])}'
    )
