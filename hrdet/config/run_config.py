"""A lowered config: nodes that ``hrdet.registry.build`` builds, and typed settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hrdet.config.node import Node
from hrdet.messages import plural
from hrdet.ranges import Count, FileName, Natural
from hrdet.registry import ConfigError, check


@dataclass(slots=True, kw_only=True)
class Training:
    """How a model is trained; the sections of a lowered config's ``training``."""

    optimizer: dict[str, Any]  # type (of torch.optim), its arguments, paramwise_cfg
    schedule: list[dict[str, Any]] = field(default_factory=list)  # factors of the learning rate
    max_epochs: Count | None = None  # the length of the run: this or max_iters
    max_iters: Count | None = None
    val_interval: Count = 1  # epochs, or iterations where max_iters counts the run
    accumulate: Count = 1  # batches whose gradients make one optimizer step
    grad_clip: dict[str, Any] | None = None  # arguments of torch's clip_grad_norm_
    amp: Literal['float16', 'bfloat16'] | None = None  # dtype of autocast
    ema: dict[str, Any] | None = None  # momentum of the averaged weights
    auto_scale_lr: dict[str, Any] | None = None  # enable, base_batch_size: images lr is meant for
    early_stopping: dict[str, Any] | None = None  # patience, metric, min_delta
    checkpoint: dict[str, Any] = field(default_factory=dict)  # interval, interval_minutes, max_keep
    log_interval: Count = 50  # iterations between two log lines
    trackers: list[Node] = field(default_factory=list)  # besides log.jsonl
    hooks: list[Node] = field(default_factory=list)  # a user's own


@dataclass(slots=True, kw_only=True)
class Runtime:
    """Where and how a program runs, whatever the model."""

    work_dir: str | None = None
    load_from: FileName | None = None  # checkpoint whose weights a new run starts from
    resume_from: FileName | None = None  # checkpoint of a run to continue
    pretrained: str | None = None  # checkpoint for the backbone alone
    seed: Natural | None = None
    log_level: Literal['DEBUG', 'INFO', 'WARNING', 'ERROR'] = 'INFO'
    backend: Literal['nccl', 'gloo', 'mpi'] = 'nccl'  # of torch.distributed on GPUs
    on_bad_image: Literal['error', 'skip'] = 'error'  # an image or truth that cannot be read
    cudnn_benchmark: bool = False
    channels_last: bool = True
    compile: bool | dict[str, Any] = False  # torch.compile of backbone and neck, or its options


@dataclass(slots=True, kw_only=True)
class RunConfig:
    """A whole config in lowered form; ``lower`` returns it.

    ``train``, ``val`` and ``test`` hold ``dataset`` (a node) and the arguments of
    ``hrdet.data.build_loader``; ``val`` and ``test`` also ``evaluator`` (a node, built with the
    data set as its argument ``dataset``) and, where the config defines test-time augmentation
    (``--tta``), ``tta``: ``transforms``, which replace those of the data set, and ``description``,
    one line about them.  With ``classes=None`` the class names of the data set are used.
    """

    model: Node
    classes: tuple[str, ...] | None = None
    train: Node | None = None
    val: Node | None = None
    test: Node | None = None
    training: Training | None = None  # None: the config only predicts
    runtime: Runtime = field(default_factory=Runtime)
    warnings: list[str] = field(default_factory=list)

    def check_trainable(self) -> None:
        """Raise a ConfigError naming the section that training needs and this config lacks."""
        length = self.training and (self.training.max_epochs or self.training.max_iters)
        for path, later, value in (
            ('data.train', 'train_dataloader', self.train),
            ('optimizer', 'optim_wrapper', self.training),
            ('total_epochs', 'train_cfg', length),
        ):
            if value is None:
                raise ConfigError(f'{path}: training needs this key ({later} in OpenMMLab 2)')

    def check(self) -> 'RunConfig':
        """Raise a ConfigError for an unknown key or type, before anything is built.

        Returns the config itself.

        The modules that register the parts must be imported.
        """
        check(with_num_classes(self.model, 1))
        for split in self.splits():
            check({key: value for key, value in split.items() if key != 'evaluator'}, split.path)
            if 'evaluator' in split:
                check(split['evaluator'], dataset=None)
        if self.training is not None:
            for tracker in self.training.trackers:
                check(tracker, work_dir='')
            check(self.training.hooks)
        return self

    def splits(self) -> Iterator[Node]:
        """``train``, ``val`` and ``test``, as far as the config has them."""
        yield from (split for split in (self.train, self.val, self.test) if split is not None)

    def use_tta(self) -> str:
        """Test with the views of ``test.tta``, or with mirror images; returns their description.

        Raises:
            ConfigError: the test has several views already.
        """
        if self.test is None:
            raise ConfigError('data.test: testing needs this key')
        tta = self.test.get('tta', {})
        dataset = _with_transforms(self.test['dataset'], tta.get('transforms'))
        self.test = self.test.replaced(dataset=dataset)
        return tta.get('description', 'each image and its mirror image; the config has no views')


def loader_options(split: Node) -> dict[str, Any]:
    """The arguments of ``hrdet.data.build_loader`` in ``train``, ``val`` or ``test``."""
    return {k: v for k, v in split.items() if k not in ('dataset', 'evaluator', 'tta')}


def _with_transforms(dataset: Node, transforms: list[Node] | None) -> Node:
    """The data set, or each one in a wrapper, with these transforms; None: with mirror images."""
    if 'datasets' in dataset:
        parts = [_with_transforms(part, transforms) for part in dataset['datasets']]
        return dataset.replaced(datasets=parts)
    return dataset.replaced(transforms=transforms or _mirrored(dataset))


def _mirrored(dataset: Node) -> list[Node]:
    """The transforms of a test for two views: each image, and mirrored before it is padded."""
    # Pad comes last in a test pipeline: an image is flipped before it, so that padding stays on
    # the right and below in both views.
    steps = dataset['transforms']
    if any(step['type'] == 'AugmentedViews' for step in steps):
        raise ConfigError(f'{dataset.path}: the test has several views already; leave --tta out')
    pads = [i for i, step in enumerate(steps) if step['type'].startswith('Pad')]
    before, after = (steps[: pads[0]], steps[pads[0] :]) if pads else (steps, [])
    flip = Node(dataset.path, type='RandomFlip', ratio=1.0)
    views = [[*after], [flip, *after]]
    return [*before, Node(dataset.path, type='AugmentedViews', views=views)]


def with_num_classes(model: Any, num_classes: int) -> Any:
    """A copy of a lowered model in which every head without ``num_classes`` has this many.

    ``num_classes`` is K, the classes of the data set; the background is not counted.
    """
    if isinstance(model, Node):
        filled = {key: with_num_classes(part, num_classes) for key, part in model.items()}
        if filled.get('num_classes', 0) is None:
            filled['num_classes'] = num_classes
        return model.replaced(**filled)
    if isinstance(model, (list, tuple)):
        return type(model)(with_num_classes(part, num_classes) for part in model)
    return model


def check_num_classes(model: Any, classes: Sequence[str]) -> None:
    """Raise a ConfigError where a head of a lowered model expects other classes than there are."""
    if isinstance(model, Node) and model.get('num_classes') not in (None, len(classes)):
        raise _other_classes(model, classes)
    if isinstance(model, (Node, list, tuple)):
        for part in model.values() if isinstance(model, Node) else model:
            check_num_classes(part, classes)


def _other_classes(head: Node, classes: Sequence[str]) -> ConfigError:
    k = head['num_classes']
    names = ', '.join(classes[:5]) + (', ...' if len(classes) > 5 else '')
    ours, theirs = (plural(n, 'class', 'classes') for n in (k, len(classes)))
    error = ConfigError(
        f'{head.path}.num_classes: the model has {ours}, the background not counted, but the data '
        f'set has {theirs} ({names}): leave num_classes out and it is taken from the data set'
    )
    error.locate(head.origins)
    return error
