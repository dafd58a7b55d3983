"""Load weights of any known family into a model, and report every key."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from hrdet import zoo
from hrdet.checkpoints.contents import class_count, class_names, unpack
from hrdet.checkpoints.families import Conversion, Family, convert, recognise, stated_convention
from hrdet.checkpoints.files import CheckpointError
from hrdet.distributed import rank
from hrdet.messages import plural
from hrdet.weights import is_address, timm_classifier

_logger = logging.getLogger('hrdet')

_CLASS_LAYER = re.compile(
    r'(.*\.(fc_cls|fc_reg|conv_logits|conv_cls|conv_seg)|head\.fc)\.(weight|bias)'
)
_LISTED = 8  # keys named in a message before 'and N more'


class Mismatch(NamedTuple):
    """One entry whose shape differs."""

    key: str
    file_shape: tuple[int, ...]
    model_shape: tuple[int, ...]

    def __str__(self) -> str:
        return f'{self.key} (file {self.file_shape}, model {self.model_shape})'


@dataclass(slots=True)
class LoadReport:
    """What was loaded from where; ``str(report)`` is for people."""

    family: Family
    path: str
    loaded: int = 0  # entries copied into the model
    refused: bool = False  # nothing was copied, ``loaded`` entries could have been
    missing: list[str] = field(default_factory=list)  # in the model, not in the file
    unexpected: list[str] = field(default_factory=list)  # in the file, not in the model
    mismatched: list[Mismatch] = field(default_factory=list)
    reinitialised: list[Mismatch] = field(default_factory=list)  # class layers, on request
    dropped: list[str] = field(default_factory=list)  # in the file, and of no use to any model
    converted: dict[str, int] = field(default_factory=dict)  # renamed, reordered, dropped
    warnings: list[str] = field(default_factory=list)
    classes: tuple[str, ...] | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether all of the model was loaded (but ``reinitialised``) and all of the file used."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        done = ', '.join(f'{count} {what}' for what, count in self.converted.items() if count)
        entries = plural(self.loaded, 'entry', 'entries')
        entries += ' in common' if self.refused else ' loaded'
        lines = [f'{self.path}: {self.family.value}, {entries}' + (f' ({done})' if done else '')]
        lines += _listed('in the model but not in the file', self.missing)
        lines += _listed('in the file but not in the model', self.unexpected)
        lines += _listed('of another shape', self.mismatched)
        lines += _listed('of other classes, left at their initial values', self.reinitialised)
        lines += _listed('in the file and not needed', self.dropped)
        return '\n'.join(lines)


def load_checkpoint(
    model: nn.Module,
    source: str | os.PathLike | Mapping[str, Any],
    strict: bool = True,
    other_classes: bool = False,
    trusted: bool = False,
    name: str = 'state_dict',
) -> LoadReport:
    """Load a detector's weights, whichever release wrote them.

    Args:
        model: a detector in hrdet's (mmdetection 3's) layout; changed in place.
        source: a file, the content of one (with ``state_dict`` or ``model``), or a state_dict.
            Half-precision weights are widened to the model's type.
        strict: refuse when any entry is missing, unexpected or of another shape. Without it such
            entries keep their initial values and the report lists them; a file of which nothing
            fits is refused all the same.
        other_classes: leave classification layers at their initial values where the
            file has another number of classes (fine-tuning), and leave out a semantic branch that
            the model lacks; the report names both.
        trusted: see ``read_checkpoint``.
        name: what messages call a source that is not a file.

    Raises:
        FileNotFoundError, CheckpointError: nothing was loaded; the message says why.
    """
    # 1. Convert the weights to hrdet's names, and compare them with the model's.
    path, weights, meta, _ = unpack(source, trusted, name)
    family = recognise(weights, meta)
    conversion = convert(weights, family)
    report = LoadReport(family, path, meta=meta, classes=class_names(meta))
    _compare(model, conversion, report)
    # 2. With ``other_classes`` the class layers may have other shapes.
    if other_classes:
        report.reinitialised = [m for m in report.mismatched if _CLASS_LAYER.fullmatch(m.key)]
        report.mismatched = [m for m in report.mismatched if m not in report.reinitialised]
        report.dropped += [key for key in report.unexpected if 'semantic_head' in key]
        report.unexpected = [key for key in report.unexpected if 'semantic_head' not in key]
    _check_convention(model, report)
    # 3. All or nothing: refuse before anything is copied.
    if (strict and not report.complete) or not report.loaded:
        report.refused = True
        raise CheckpointError(f'{report}\n{_cure(report, conversion.weights)}')
    _copy(model, conversion.weights, report)
    for text in report.warnings if rank() == 0 else ():
        _logger.warning('%s: %s', report.path, text)
    return report


def load_backbone(backbone: nn.Module, path: str | os.PathLike) -> LoadReport:
    """Load the backbone of a model of any task; ``path`` is what ``hrdet.weights.find`` takes.

    Neck and heads are dropped, and the report says so; everything else must fit exactly.

    Raises:
        FileNotFoundError: names what to download and how to train without it.
        CheckpointError: any backbone entry missing, unexpected or of another shape.
    """
    if not is_address(path) and not Path(path).is_file():
        raise FileNotFoundError(_where_to_fetch(str(path)))
    name, weights, meta, _ = unpack(path)
    family = recognise(weights, meta)
    conversion = convert(weights, family)
    # Of a whole model only the backbone is taken.
    backbone_weights = {k: v for k, v in conversion.weights.items() if k.startswith('backbone.')}
    conversion.dropped += [k for k in conversion.weights if k not in backbone_weights]
    conversion.dropped += conversion.folded  # biases of the head
    conversion.folded = []
    conversion.weights = {k.removeprefix('backbone.'): v for k, v in backbone_weights.items()}
    conversion.renamed = 0  # a prefix was added and removed
    report = _compare(backbone, conversion, LoadReport(family, name, meta=meta))
    if not report.complete:
        report.refused = True
        raise CheckpointError(
            f'{report}\nThe file does not hold this backbone: compare its width (and norm_cfg: '
            f'published weights are for BN) with the config, or set model.pretrained=None'
        )
    _copy(backbone, conversion.weights, report)
    return report


def _compare(model: nn.Module, conversion: Conversion, report: LoadReport) -> LoadReport:
    # Every entry of the model, then every entry of the file: each one is counted exactly once.
    wanted = model.state_dict()
    for key, value in wanted.items():
        given = conversion.weights.get(key)
        if given is None:
            report.missing.append(key)
        elif given.shape != value.shape:
            report.mismatched.append(Mismatch(key, tuple(given.shape), tuple(value.shape)))
    report.unexpected = [key for key in conversion.weights if key not in wanted]
    report.dropped = conversion.dropped
    report.loaded = len(wanted) - len(report.missing) - len(report.mismatched)
    report.converted = {
        'renamed': conversion.renamed,
        'biases folded into norms': len(conversion.folded),
        'reordered': len(conversion.reordered),
        'dropped': len(conversion.dropped),
    }
    return report


def _copy(model: nn.Module, weights: Mapping[str, Tensor], report: LoadReport) -> None:
    """Copy what fits, if all of it is finite.

    Raises:
        CheckpointError: a weight is NaN, infinite or no float; nothing was copied.
    """
    skipped = {*report.unexpected, *report.dropped}
    skipped |= {m.key for m in (*report.mismatched, *report.reinitialised)}
    fitting = {key: value for key, value in weights.items() if key not in skipped}
    target = model.state_dict()
    for key, value in fitting.items():
        if value.is_meta and not target[key].is_meta:
            raise CheckpointError(f'{report.path}: {key} has no values (device meta)')
        if target[key].is_floating_point() and not value.is_floating_point():
            raise CheckpointError(f'{report.path}: {key} holds {value.dtype}, not weights')
        if not _is_finite(value):
            report.refused = True
            raise CheckpointError(
                f'{report.path}: {key} holds NaN or infinite weights, with which a model predicts '
                f'nothing: the training diverged before it was saved. Take an earlier checkpoint'
            )
    model.load_state_dict(fitting, strict=False)


def _is_finite(value: Tensor) -> bool:
    # Integer counters and empty tensors are always finite; meta tensors have no values.
    if not (value.is_floating_point() and value.numel()) or value.is_meta:
        return True
    value = value.float() if value.element_size() == 1 else value  # float8 has no minimum
    least, largest = value.aminmax()  # NaN if any is: half the time of isfinite().all()
    return bool(least.isfinite() and largest.isfinite())


def _check_convention(model: nn.Module, report: LoadReport) -> None:
    # Only detectors have a box convention; a stated one is certain, a family's is a guess.
    ours = getattr(model, 'convention', None)
    ours = getattr(ours, 'value', ours)
    sure = stated_convention(report.family, report.meta)
    theirs = sure or report.family.box_convention
    if ours is None or theirs is None or str(theirs) == str(ours):
        return
    effect = 'boxes will be off by up to a pixel and AP slightly lower'
    cure = f"model.box_convention='{theirs}'"
    report.warnings.append(
        f'these weights were trained with {theirs} boxes and the model works with {ours} ones: '
        f'{effect}. Set {cure}'
        if sure
        else f'these weights look like those of {report.family.value}, whose boxes are {theirs}, '
        f'and the model works with {ours} ones. If they are, {effect}: set {cure}. If hrdet '
        f'trained them with {ours} boxes, ignore this warning'
    )


def _cure(report: LoadReport, weights: Mapping[str, Tensor]) -> str:
    # 1. Another number of classes.
    for key, *shapes in report.mismatched:
        theirs, ours = (class_count(key, shape) for shape in shapes)
        if theirs is not None:
            with_background = 'roi_head' in key or 'bbox_head' in key
            number = f'{theirs + 1} (it counts the background)' if with_background else theirs
            return (
                f'The checkpoint was trained on {plural(theirs, "class", "classes")} and the '
                f'model has {ours}. To use the checkpoint set num_classes={number}; to fine-tune '
                f'it on other classes name it in load_from=, or in Python load it with '
                f'load_checkpoint(model, file, other_classes=True): both leave the class layers '
                f'as they are'
            )
    # 2. An HTC with its semantic branch.
    if report.unexpected and all('semantic_head' in key for key in report.unexpected):
        return (
            'The checkpoint has the semantic branch of HTC, but the model does not, because the '
            'config names no stuff maps: set data.train.seg_prefix'
        )
    # 3. A model of another task: the whole backbone fits and nothing else does.
    others = {*report.missing, *report.unexpected, *(m.key for m in report.mismatched)}
    common = weights.keys() - others
    if common and all(key.startswith('backbone.') == (key in common) for key in common | others):
        return (
            'Only the backbone fits, as of a model of another task: name the file as '
            "model.pretrained='...' in the config (load_backbone), not as a checkpoint of the "
            'whole model'
        )
    # 4. Anything else.
    cure = (
        'Nothing was loaded: the config describes another model (type, backbone width, heads). Use '
        'the one that the checkpoint was trained with; hrdet saves a copy beside its checkpoints'
    )
    if report.loaded:
        cure += '. In Python load_checkpoint(model, file, strict=False) loads what fits'
    return cure


def _where_to_fetch(path: str) -> str:
    # The old names of configs contain the network: hrnetv2_w32_imagenet_pretrained.pth.
    width, depth = re.search(r'w(\d+(_small)?)', path), re.search(r'resnet(\d+)', path)
    width = width[1] if width else 18
    name = f'torchvision://resnet{depth[1]}' if depth else f'open-mmlab://msra/hrnetv2_w{width}'
    if name in zoo.NICKNAMES:
        timm = None if depth or not str(width).isdecimal() else timm_classifier(int(width))
        other = f', and so does {timm!r}' if timm else ''
        cure = f'model.pretrained={name!r} downloads the ImageNet weights{other}'
    elif depth:
        cure = f"Fetch the weights of torchvision's resnet{depth[1]} (IMAGENET1K_V1)"
    else:
        cure = f"model.pretrained='timm/hrnet_w{width}.ms_in1k' downloads ImageNet weights"
    return (
        f'pretrained={path!r}: there is no such file. {cure}. '
        f'To train without it set model.pretrained=None '
        f"and train the batch norms: backbone norm_eval=False, or norm_cfg=dict(type='GN', "
        f'num_groups=...) for small batches'
    )


def _listed(title: str, items: list) -> list[str]:
    if not items:
        return []
    more = [f'and {len(items) - _LISTED} more'] if len(items) > _LISTED else []
    return [f'  {title} ({len(items)}): ' + ', '.join([str(i) for i in items[:_LISTED]] + more)]
