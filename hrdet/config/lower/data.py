"""The section ``data``: data sets with their transforms, and loaders."""

import os
from dataclasses import dataclass, field
from typing import Any

from hrdet.config.lower.pipeline import from_steps
from hrdet.config.lower.transforms import Context, Norm, Pipeline, from_keys
from hrdet.config.node import Count, Natural, Node, check, check_typed, keys_of, read
from hrdet.registry import ConfigError, check_keys

_NAMES = {'skip_img_without_anno': 'filter_empty', 'semantic_scale_factor': 'seg_scale_factor'}
_FILES = ('ann_file', 'img_prefix', 'seg_prefix', 'proposal_file')


@dataclass(slots=True)
class Data:
    """What ``data`` means: data sets with the arguments of their loaders, and the rest."""

    splits: dict[str, Node | None]
    norm: Norm
    size_divisor: int
    classes: tuple[str, ...] | None
    semantics: bool | None  # has the training set semantic maps? None: there is no training set


def read_data(
    path: str,
    *,
    imgs_per_gpu: Count,
    workers_per_gpu: Natural = 2,
    test_imgs_per_gpu: Count = 1,
    pad_size: tuple[Count, Count] | None = None,
    train: Any = None,
    val: Any = None,
    test: Any = None,
    classes: Any,
    convention: str,
    masks: bool,
    semantics: int | None,
) -> Data:
    """Lower the section for a model of this box convention.

    ``masks`` tells whether the model has masks to learn, and ``semantics`` is the stride of the
    semantic maps that it learns, or None.  ``classes`` are the names for all data sets that do
    not name theirs.
    """
    pad_size = pad_size and tuple(pad_size)
    sections = {'train': train, 'val': val, 'test': test}
    check(any(sections.values()), path, 'there is none of train, val and test')
    readers, splits = {}, {}
    for split, section in sections.items():
        training = split == 'train'
        reader = readers[split] = _SplitReader(
            training, convention, masks, semantics, pad_size is not None, classes
        )
        splits[split] = section and Node(
            f'{path}.{split}',
            dataset=reader.dataset(section, f'{path}.{split}'),
            batch_size=imgs_per_gpu if training else test_imgs_per_gpu,
            num_workers=workers_per_gpu,
            pad_size=pad_size if training else None,
            size_divisor=reader.size_divisor,
        )
    return Data(
        splits,
        norm=_agreed_norm([norm for reader in readers.values() for norm in reader.norms]),
        size_divisor=max(reader.size_divisor for reader in readers.values()),
        classes=_agreed_classes([c for reader in readers.values() for c in reader.classes_found]),
        semantics=_agreed_maps(readers['train'].with_maps),
    )


@dataclass(slots=True)
class _SplitReader:
    """Reads the data set of one split, and remembers what must agree with other data sets."""

    training: bool
    convention: str
    masks: bool
    semantics: int | None
    one_size: bool
    classes: Any
    norms: list[Norm] = field(default_factory=list)
    classes_found: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    with_maps: list[tuple[str, bool]] = field(default_factory=list)
    size_divisor: int = 1

    def dataset(self, section: Any, path: str) -> Node:
        """A data set; a list of them, or a list of annotation files, is joined into one."""
        if isinstance(section, (list, tuple)):
            return self._join(
                [self.dataset(s, f'{path}[{i}]') for i, s in enumerate(section)], path
            )
        wrapper = {
            'RepeatDataset': self._wrap,
            'ClassBalancedDataset': self._wrap,
            'ConcatDataset': self._concat,
        }.get(check_typed(section, path)['type'])
        if wrapper is not None:
            check(self.training, path, 'an evaluation takes one data set as it is')
            return read(wrapper, section, path)
        if isinstance(section.get('ann_file'), (list, tuple)):
            return self._join([self._plain(part, path) for part in _parts(section, path)], path)
        return self._plain(section, path)

    def _wrap(self, path: str, *, type: str, dataset: Any, **rest: Any) -> Node:
        return Node(path, rest, type=type, dataset=self.dataset(dataset, f'{path}.dataset'))

    def _concat(self, path: str, *, type: str, datasets: list[Any]) -> Node:
        return self.dataset(datasets, f'{path}.datasets')

    def _join(self, nodes: list[Node], path: str) -> Node:
        check(self.training, path, 'an evaluation takes one data set, not a list')
        check(bool(nodes), path, 'the list of data sets is empty')
        return nodes[0] if len(nodes) == 1 else Node(path, type='ConcatDataset', datasets=nodes)

    def _plain(self, section: Node, path: str) -> Node:
        section = _renamed(section, path)
        form = from_steps if 'pipeline' in section else from_keys
        keys = keys_of(form, ['context'])
        settled = set(keys_of(from_keys, ['context'])) - set(keys) if form is from_steps else ()
        check_keys([key for key in section if key in settled], keys, path)
        zipped = section['type'] == 'CocoZipDataset'
        context = Context(self.training, self.convention, zipped, self.masks, self.one_size)
        maps = {}
        if form is from_keys and self.semantics and section.get('seg_prefix') is not None:
            maps = dict(with_semantic_seg=True, seg_scale_factor=1 / self.semantics)
        pipeline = read(form, maps | section, path, context=context)
        if self.training:
            self._check_truth(pipeline, section, path)
        self.norms.append(pipeline.norm)
        self.size_divisor = max(self.size_divisor, pipeline.size_divisor)
        node = self._node(path, pipeline)
        node.names = (*keys, 'data_root')
        return node

    def _check_truth(self, pipeline: Pipeline, section: Node, path: str) -> None:
        """Raise a ConfigError if what is loaded is not what the model learns from."""
        without = (
            'with_mask is False, but model.mask_head learns from masks: with_mask=True (in a '
            'pipeline, of the step LoadAnnotations)'
        )
        check(not self.masks or pipeline.dataset.get('with_mask', False), path, without)
        if self.semantics and pipeline.semantic and section.get('seg_prefix') is not None:
            steps = [step for step in pipeline.transforms if step['type'] == 'SegRescale']
            scale = steps[0].get('scale_factor', 1) if steps else 1
            other = (
                f'semantic maps are scaled by {scale!r}, but those of model.semantic_head have '
                f'stride {self.semantics}: seg_scale_factor=1/{self.semantics} (in a pipeline, '
                f"dict(type='SegRescale', scale_factor=1/{self.semantics}))"
            )
            check(scale == 1 / self.semantics, steps[0].path if steps else path, other)

    def _node(self, path: str, pipeline: Pipeline) -> Node:
        arguments = pipeline.rest
        root = arguments.pop('data_root', None)
        for key in (*_FILES, 'classes'):
            if arguments.get(key) is None:
                arguments.pop(key, None)
            elif root is not None and key in _FILES:
                arguments[key] = os.path.join(root, arguments[key])
        maps = pipeline.semantic and 'seg_prefix' in arguments
        self.with_maps.append((path, maps))
        if pipeline.semantic and not self.semantics:
            check(maps, f'{path}.seg_prefix', 'this key is needed for its maps')
        if not maps:
            arguments.pop('seg_prefix', None)
        classes = arguments.pop('classes', self.classes)
        if classes is not None:
            arguments['classes'] = _class_names(classes, f'{path}.classes')
            self.classes_found.append((f'{path}.classes', arguments['classes']))
        arguments.pop('test_mode', None)
        given = dict(test_mode=not self.training, transforms=pipeline.transforms)
        if self.convention != 'inclusive':
            given['box_convention'] = self.convention
        return Node(path, arguments, **pipeline.dataset, **given)


def _renamed(section: Node, path: str) -> Node:
    for other, name in _NAMES.items():
        twice = other in section and name in section
        check(not twice, f'{path}.{other}', f'another name of {name}; keep one')
    return Node(path, **{_NAMES.get(key, key): value for key, value in section.items()})


def _parts(section: Node, path: str) -> list[Node]:
    """One section for each annotation file; other files are given once, or once for each."""
    count = len(section['ann_file'])
    parts = []
    for i in range(count):
        part = Node(path, **section)
        for key in _FILES:
            if isinstance(section.get(key), (list, tuple)):
                same = len(section[key]) == count
                message = f'{len(section[key])} entries, but {count} annotation files'
                check(same, f'{path}.{key}', message)
                part[key] = section[key][i]
        parts.append(part)
    return parts


def _class_names(classes: Any, path: str) -> tuple[str, ...]:
    check(
        not isinstance(classes, str),
        path,
        f'a tuple of names is wanted here; for one class write ({classes!r},) with the comma',
    )
    names = isinstance(classes, (list, tuple)) and all(isinstance(c, str) for c in classes)
    check(names and bool(classes), path, f'a tuple of names is wanted here, not {classes!r}')
    twice = sorted({name for name in classes if classes.count(name) > 1})
    check(not twice, path, f'these names appear twice: {", ".join(twice)}')
    return tuple(classes)


def _agreed_classes(found: list[tuple[str, tuple[str, ...]]]) -> tuple[str, ...] | None:
    for path, classes in found[1:]:
        if classes != found[0][1]:
            raise ConfigError(
                f'{found[0][0]} and {path} differ, but a model has one list of classes: '
                f'{found[0][1]} and {classes}'
            )
    return found[0][1] if found else None


def _agreed_maps(found: list[tuple[str, bool]]) -> bool | None:
    """Whether the training data has semantic maps; None: there is none."""
    for path, maps in found[1:]:
        if maps != found[0][1]:
            raise ConfigError(
                f'{found[0][0]} and {path}: one has semantic maps (seg_prefix), the other has '
                f'none; a model learns from both kinds of images only without its semantic_head'
            )
    return found[0][1] if found else None


def _agreed_norm(norms: list[Norm]) -> Norm:
    first = norms[0]
    for norm in norms[1:]:
        for name in ('mean', 'std', 'channel_order'):
            ours, theirs = getattr(first, name), getattr(norm, name)
            if ours != theirs:
                raise ConfigError(
                    f'{first.path} and {norm.path} differ in {name} ({ours} and {theirs}), but '
                    f'the model normalises all images alike'
                )
    return first
