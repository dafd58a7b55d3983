"""From the config language to what the program builds and runs: one pass, checked strictly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from hrdet.config.config import origins_of
from hrdet.config.keys import split_keys
from hrdet.config.lower import training
from hrdet.config.lower.data import Data, read_data
from hrdet.config.lower.fcos import fcos
from hrdet.config.lower.two_stage import ROI_HEADS, two_stage
from hrdet.config.node import Node, as_nodes, check, check_choice, check_count, check_typed, read
from hrdet.config.run_config import RunConfig, Runtime, Training
from hrdet.registry import ConfigError
from hrdet.wording import counted

# A detector's type and the function that lowers its section ``model``.
_DETECTORS = {**dict.fromkeys(ROI_HEADS, two_stage), 'FCOS': partial(read, fcos)}


@dataclass(slots=True)
class Lowered:
    """What a config means, in plain values; the nodes are trees for ``hrdet.registry.build``.

    ``max_epochs``, ``optimizer`` and ``train_dataset`` are None in a config that only predicts.
    """

    model: Node
    pretrained: str | None
    box_convention: str
    classes: tuple[str, ...] | None  # None: those of the annotation file
    train_dataset: Node | None
    val_dataset: Node | None
    test_dataset: Node | None
    train_loader: dict[str, Any]
    val_loader: dict[str, Any]
    test_loader: dict[str, Any]
    max_epochs: int | None
    optimizer: dict[str, Any] | None
    grad_clip: dict[str, Any] | None
    accumulate: int
    schedule: list[dict[str, Any]]
    auto_scale_lr: dict[str, Any]
    amp: str | None
    ema: dict[str, Any] | None
    checkpoint: dict[str, Any]
    log: dict[str, Any]
    evaluation: dict[str, Any]
    work_dir: str | None
    load_from: str | None
    resume_from: str | None
    log_level: str
    seed: int | None
    dist_params: dict[str, Any]
    cudnn_benchmark: bool
    channels_last: bool
    compile: bool | dict[str, Any]
    runner_fields: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def as_run_config(self) -> RunConfig:
        """The same config as nodes and typed settings."""
        evaluator = Node('evaluation', type='CocoMetric', metrics=self.evaluation['metrics'])
        splits = {}
        for split in ('train', 'val', 'test'):
            dataset = getattr(self, f'{split}_dataset')
            if dataset is not None:
                loader = getattr(self, f'{split}_loader')
                splits[split] = Node(f'data.{split}', dataset=dataset, **loader)
                if split != 'train':
                    splits[split]['evaluator'] = evaluator
        training = self.optimizer and Training(
            optimizer=self.optimizer,
            schedule=self.schedule,
            max_epochs=self.max_epochs,
            val_interval=self.evaluation['interval'],
            accumulate=self.accumulate,
            grad_clip=self.grad_clip,
            amp=self.amp,
            ema=self.ema,
            auto_scale_lr=self.auto_scale_lr,
            checkpoint=self.checkpoint,
            log_interval=self.log['interval'],
            trackers=[Node('log_config', type='TensorBoard')] * self.log['tensorboard'],
        )
        runtime = Runtime(
            work_dir=self.work_dir,
            load_from=self.load_from,
            resume_from=self.resume_from,
            pretrained=self.pretrained,
            seed=self.seed,
            log_level=self.log_level,
            backend=self.dist_params['backend'],
            cudnn_benchmark=self.cudnn_benchmark,
            channels_last=self.channels_last,
            compile=self.compile,
        )
        return RunConfig(
            model=self.model,
            classes=self.classes,
            **splits,
            training=training,
            runtime=runtime,
            warnings=self.warnings,
        )

    def check_trainable(self) -> None:
        """Raise a ConfigError naming the section that training needs and this config lacks."""
        needed = {
            'data.train': self.train_dataset,
            'optimizer': self.optimizer,
            'total_epochs': self.max_epochs,
        }
        for path, value in needed.items():
            check(value is not None, path, 'training needs this key')


def lower(config: Mapping[str, Any]) -> Lowered:
    """Lower a config (a Config, or a dict).

    Raises:
        ConfigError: an unknown key, a missing one, or a value that cannot be meant; the message
            names its path in the config, and the file and line that wrote it.
    """
    try:
        return _lower(config)
    except ConfigError as error:
        error.locate(origins_of(config))
        raise


def _lower(config: Mapping[str, Any]) -> Lowered:
    values, runner_fields, warnings = split_keys(dict(config.items()))
    values = as_nodes(values)
    detector = check_typed(values['model'], 'model')
    kind = detector['type']
    supported = f'there is no detector {kind!r}; supported: {", ".join(_DETECTORS)}'
    check(kind in _DETECTORS, 'model.type', supported)
    convention = detector.get('box_convention', 'inclusive')
    masks = detector.get('mask_head') is not None
    data = read(
        read_data,
        values['data'],
        'data',
        classes=values['classes'],
        convention=convention,
        masks=masks,
        semantics=_semantic_stride(detector),
    )
    detector, notes = _without_unlearnt_semantics(detector, data)
    model = _DETECTORS[kind](
        detector,
        'model',
        train_cfg=values['train_cfg'],
        test_cfg=values['test_cfg'],
        preprocess=_preprocess(data),
    )
    warnings += notes + _order_warning(data) + _proposal_warning(values['data'])
    trained = _training(values, warnings, masks)
    return Lowered(
        model=model,
        pretrained=detector.get('pretrained'),
        box_convention=convention,
        classes=data.classes,
        **{f'{split}_dataset': node for split, node in data.datasets.items()},
        **{f'{split}_loader': loader for split, loader in data.loaders.items()},
        **trained,
        **_running(values),
        runner_fields=runner_fields,
        warnings=warnings,
    )


def _semantic_stride(detector: Node) -> int | None:
    """Input pixels per pixel of the map that the semantic head learns; None: it has no such head.

    Regions are cut out of that map by their own extractor, which says it.
    """
    if detector.get('semantic_head') is None:
        return None
    extractor = detector.get('semantic_roi_extractor')
    strides = extractor.get('featmap_strides', [8]) if isinstance(extractor, Node) else [8]
    path = f'{detector.path}.semantic_roi_extractor.featmap_strides'
    one = isinstance(strides, (list, tuple)) and len(strides) == 1
    check(one, path, f'a list of one stride, that of fusion_level, is wanted here, not {strides!r}')
    check_count(strides[0], f'{path}[0]')
    return strides[0]


def _preprocess(data: Data) -> Node:
    norm = data.norm
    return Node(
        norm.path,
        type='Preprocess',
        mean=norm.mean,
        std=norm.std,
        channel_order=norm.channel_order,
        size_divisor=data.size_divisor,
    )


def _without_unlearnt_semantics(detector: Node, data: Data) -> tuple[Node, list[str]]:
    """The detector without its semantic branch where the training data has no maps; warnings."""
    if detector.get('semantic_head') is None or data.semantics is not False:
        return detector, []
    left_out = ('semantic_head', 'semantic_roi_extractor')
    note = (
        f'{detector.path}.semantic_head: left out of the model, because data.train has no semantic '
        f'maps to learn it from; seg_prefix names their folder (and a pipeline needs with_seg=True)'
    )
    rest = {key: value for key, value in detector.items() if key not in left_out}
    return Node(detector.path, **rest), [note]


def _order_warning(data: Data) -> list[str]:
    norm = data.norm
    if norm.channel_order == 'bgr' and norm.mean[0] > norm.mean[2] + 10:
        return [
            f'{norm.path}: to_rgb=False with the mean {norm.mean}, which looks like one of RGB '
            f'images: the model will see BGR. Weights trained on RGB need to_rgb=True'
        ]
    return []


def _proposal_warning(sections: Node) -> list[str]:
    return [
        f'{section.path}.proposal_file: loaded with the samples, but not used: the detector '
        f'proposes its own regions (model.rpn_head), as in the release'
        for section in sections.values()
        if isinstance(section, Node) and section.get('proposal_file')
    ]


def _training(values: Node, warnings: list[str], masks: bool) -> dict[str, Any]:
    epochs = values['total_epochs']
    if epochs is not None:
        check_count(epochs, 'total_epochs')
    grad_clip, accumulate = read(
        training.optimizer_config, values['optimizer_config'] or Node(''), 'optimizer_config'
    )
    schedule = read(training.schedule, values['lr_config'], 'lr_config', max_epochs=epochs)
    for scheduler in schedule:
        late = [e for e in scheduler.get('milestones', ()) if epochs is not None and e >= epochs]
        if late and scheduler['by_epoch']:
            all_of_them = counted(epochs, 'epoch')
            warnings.append(f'lr_config.step: {late} is never reached in {all_of_them}')
    amp, notes = training.precision(values['amp'] or None, values['fp16'])
    warnings += notes
    optimizer = values['optimizer']
    return dict(
        max_epochs=epochs,
        optimizer=None if optimizer is None else training.optimizer(optimizer),
        grad_clip=grad_clip,
        accumulate=accumulate,
        schedule=schedule,
        auto_scale_lr=_auto_scale_lr(values['auto_scale_lr'], warnings),
        amp=amp,
        ema=None if values['ema'] is None else read(training.ema, values['ema'], 'ema'),
        checkpoint=read(training.checkpoint, values['checkpoint_config'], 'checkpoint_config'),
        log=read(training.log, values['log_config'], 'log_config'),
        evaluation=read(training.evaluation, values['evaluation'], 'evaluation', masks=masks),
    )


def _auto_scale_lr(section: Any, warnings: list[str]) -> dict[str, Any]:
    if section is not None:
        return read(training.auto_scale_lr, section, 'auto_scale_lr')
    warnings.append(
        'auto_scale_lr: the config does not say how many images a step its learning rate is for, '
        'so it is used as it is; write auto_scale_lr=dict(enable=True, base_batch_size=16)'
    )
    return dict(enable=False, base_batch_size=None)


def _running(values: Node) -> dict[str, Any]:
    workflow = [tuple(phase) for phase in values['workflow']]
    if workflow != [('train', 1)]:
        raise ConfigError(
            f"workflow: only [('train', 1)] exists, not {workflow!r}; evaluation=dict(interval=1) "
            f'evaluates after every epoch'
        )
    check_choice(values['log_level'], ('DEBUG', 'INFO', 'WARNING', 'ERROR'), 'log_level')
    if values['seed'] is not None:
        check_count(values['seed'], 'seed', least=0)
    for name in ('cudnn_benchmark', 'channels_last'):
        check_choice(values[name], (True, False), name)
    if not isinstance(values['compile'], Node):  # of options for torch.compile
        check_choice(values['compile'], (True, False), 'compile')
    return dict(
        work_dir=values['work_dir'],
        load_from=values['load_from'],
        resume_from=values['resume_from'],
        log_level=values['log_level'],
        seed=values['seed'],
        dist_params=read(_dist_params, values['dist_params'], 'dist_params'),
        cudnn_benchmark=values['cudnn_benchmark'],
        channels_last=values['channels_last'],
        compile=values['compile'],
    )


def _dist_params(path: str, *, backend: str = 'nccl', port: int | None = None) -> dict[str, Any]:
    check_choice(backend, ('nccl', 'gloo', 'mpi'), f'{path}.backend')
    return dict(backend=backend) if port is None else dict(backend=backend, port=port)
