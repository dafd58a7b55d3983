"""What a config means: trees for ``hrdet.registry.build`` and typed settings, one a line."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from hrdet.config.classes import with_num_classes
from hrdet.config.node import Count, Natural, Node
from hrdet.config.node import check as require
from hrdet.registry import ConfigError, check, check_keys, check_value


def typed(cls: type, section: Any, path: str) -> Any:
    """A dataclass from a section whose keys are its fields."""
    require(isinstance(section, Mapping), path, f'a dict is wanted here, not {section!r}')
    known = {entry.name: entry for entry in fields(cls)}
    check_keys(section, known, path)
    for name, entry in known.items():
        here = f'{path}.{name}' if path else name
        optional = entry.default is not MISSING or entry.default_factory is not MISSING
        require(optional or name in section, here, 'this key is needed')
        if name in section:
            check_value(section[name], entry.type, here)
    return cls(**section)


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

    @property
    def nodes(self) -> list[Node]:
        """What is built beside the model and its data."""
        return [*self.trackers, *self.hooks]


@dataclass(slots=True, kw_only=True)
class Runtime:
    """Where and how a program runs, whatever the model."""

    work_dir: str | None = None
    load_from: str | None = None  # checkpoint whose weights a new run starts from
    resume_from: str | None = None  # checkpoint of a run to continue
    pretrained: str | None = None  # checkpoint for the backbone alone
    seed: Natural | None = None
    log_level: Literal['DEBUG', 'INFO', 'WARNING', 'ERROR'] = 'INFO'
    backend: Literal['nccl', 'gloo', 'mpi'] = 'nccl'  # of torch.distributed on GPUs
    cudnn_benchmark: bool = False
    channels_last: bool = True
    compile: bool | dict[str, Any] = False  # torch.compile of backbone and neck, or its options


@dataclass(slots=True, kw_only=True)
class RunConfig:
    """A whole config, lowered: what ``lower`` returns.

    ``train``, ``val`` and ``test`` hold ``dataset`` (a node) and the arguments of
    ``hrdet.data.build_loader``; ``val`` and ``test`` also ``evaluator`` (a node, built with the
    data set as its argument ``dataset``).  ``classes`` None takes the data set's own.
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
        needed = {'data.train': self.train, 'optimizer': self.training, 'total_epochs': length}
        for path, value in needed.items():
            if value is None:
                raise ConfigError(f'{path}: training needs this key')

    def check(self) -> 'RunConfig':
        """Raise a ConfigError for a key or type that no part has, before any is built.

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
        """Those of ``train``, ``val`` and ``test`` that the config has."""
        yield from (split for split in (self.train, self.val, self.test) if split is not None)
