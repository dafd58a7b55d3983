"""What a config means: trees for ``hrdet.registry.build`` and typed settings, one a line."""

from dataclasses import dataclass, field
from typing import Any

from hrdet.config.node import Node


@dataclass(slots=True, kw_only=True)
class Training:
    """How a model is trained; the sections of a lowered config's ``training``."""

    optimizer: dict[str, Any]  # type (of torch.optim), its arguments, paramwise_cfg
    schedule: list[dict[str, Any]] = field(default_factory=list)  # factors of the learning rate
    max_epochs: int | None = None  # the length of the run: this or max_iters
    max_iters: int | None = None
    val_interval: int = 1  # epochs, or iterations where max_iters counts the run
    accumulate: int = 1  # batches whose gradients make one optimizer step
    grad_clip: dict[str, Any] | None = None  # arguments of torch's clip_grad_norm_
    amp: str | None = None  # dtype of autocast: 'float16' or 'bfloat16'
    ema: dict[str, Any] | None = None  # momentum of the averaged weights
    auto_scale_lr: dict[str, Any] | None = None  # enable, base_batch_size: images lr is meant for
    early_stopping: dict[str, Any] | None = None  # patience, metric, min_delta
    checkpoint: dict[str, Any] = field(default_factory=dict)  # interval, interval_minutes, max_keep
    log_interval: int = 50  # iterations between two log lines
    trackers: list[Node] = field(default_factory=list)  # besides log.jsonl
    hooks: list[Node] = field(default_factory=list)  # a user's own


@dataclass(slots=True, kw_only=True)
class Runtime:
    """Where and how a program runs, whatever the model."""

    work_dir: str | None = None
    load_from: str | None = None  # checkpoint whose weights a new run starts from
    resume_from: str | None = None  # checkpoint of a run to continue
    pretrained: str | None = None  # checkpoint for the backbone alone
    seed: int | None = None
    log_level: str = 'INFO'
    backend: str = 'nccl'  # of torch.distributed on GPUs
    cudnn_benchmark: bool = False
    channels_last: bool = True
    compile: bool | dict[str, Any] = False  # torch.compile of backbone and neck, or its options


@dataclass(slots=True, kw_only=True)
class RunConfig:
    """A whole config, lowered.

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
