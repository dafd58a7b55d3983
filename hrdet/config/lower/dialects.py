"""Names of the same setting in each config language, for errors about keys of another language."""

import re

from hrdet.registry import ConfigError

TITLES = {
    'release': 'the 2019 language (mmdetection 1)',
    'openmmlab1': 'OpenMMLab 1 (mmdetection 2, mmsegmentation 0.x, mmcls 0.x)',
    'openmmlab2': 'OpenMMLab 2 (mmdetection 3, mmsegmentation 1.x, mmpretrain)',
    'lowered': 'the lowered language',
}
_HOOKS = 'checkpoint_config, log_config and evaluation; custom_hooks for your own'
_TRACKERS = "trackers, such as [dict(type='TensorBoard')]"
_LOGGERS = 'log_config.hooks'
_LENGTH = 'total_epochs or total_iters'
_SEED = 'seed, and --deterministic of hrdet train'
_NOTHING = 'nothing: leave it out'
# One row for each setting: its path in every language, in the order of TITLES.  ``*.key`` is a key
# of that name anywhere below a data set.
_ROWS = (
    ('data.imgs_per_gpu', 'data.samples_per_gpu', 'train_dataloader.batch_size'),
    ('data.workers_per_gpu', 'data.workers_per_gpu', 'train_dataloader.num_workers'),
    ('data.test_imgs_per_gpu', 'data.val_dataloader', 'val_dataloader.batch_size'),
    ('data.imgs_per_gpu', 'data.train_dataloader', 'train_dataloader.batch_size'),
    ('data.train', 'data.train', 'train_dataloader'),
    ('data.val', 'data.val', 'val_dataloader'),
    ('data.test', 'data.test', 'test_dataloader'),
    ('data', 'data', 'train_dataloader, val_dataloader and test_dataloader'),
    ('optimizer', 'optimizer', 'optim_wrapper.optimizer'),
    ('optimizer, optimizer_config and amp', 'optimizer, optimizer_config, fp16', 'optim_wrapper'),
    ('optimizer_config', 'optimizer_config', 'optim_wrapper.clip_grad, .accumulative_counts'),
    ('lr_config', 'lr_config', 'param_scheduler'),
    ('total_epochs', 'runner.max_epochs', 'train_cfg.max_epochs'),
    ('total_iters', 'runner.max_iters', 'train_cfg.max_iters'),
    (_LENGTH, 'runner', 'train_cfg.by_epoch'),
    (_LENGTH, 'runner', 'train_cfg.type'),
    ('evaluation.interval', 'evaluation.interval', 'train_cfg.val_interval'),
    ('evaluation', 'evaluation', 'val_evaluator'),
    ('evaluation', 'evaluation', 'test_evaluator'),
    ('evaluation', 'evaluation', 'val_cfg'),
    ('checkpoint_config', 'checkpoint_config', 'default_hooks.checkpoint'),
    (_HOOKS, _HOOKS, 'default_hooks'),
    ('log_config', 'log_config', 'default_hooks.logger'),
    ('log_config', 'log_config', 'log_processor'),
    ("fp16, or amp='float16'", 'fp16', "optim_wrapper.type='AmpOptimWrapper'"),
    ('ema', "custom_hooks=[dict(type='EMAHook')]", "custom_hooks=[dict(type='EMAHook')]"),
    ('resume_from, or --auto-resume of hrdet train', 'resume_from', 'resume'),
    ('cudnn_benchmark', 'cudnn_benchmark', 'env_cfg.cudnn_benchmark'),
    ('dist_params', 'dist_params', 'env_cfg.dist_cfg'),
    ('cudnn_benchmark and dist_params', 'cudnn_benchmark and dist_params', 'env_cfg'),
    (_SEED, _SEED, 'randomness'),
    ('seed', 'seed', 'randomness.seed'),
    (_TRACKERS, _LOGGERS, 'visualizer'),
    (_TRACKERS, _LOGGERS, 'vis_backends'),
    ('trackers', _LOGGERS, 'visualizer.vis_backends'),
    (_NOTHING, _NOTHING, 'default_scope'),
    ('work_dir', 'work_dir', 'experiment_name'),
    ('img_norm_cfg of the data sets', 'a step Normalize of the pipelines', 'data_preprocessor'),
    (
        'img_norm_cfg of the data sets',
        'a step Normalize of the pipelines',
        'model.data_preprocessor',
    ),
    ('several img_scale in data.test', 'a step MultiScaleFlipAug in data.test', 'tta_model'),
    ('train_cfg', 'model.train_cfg', 'model.train_cfg'),
    ('test_cfg', 'model.test_cfg', 'model.test_cfg'),
    ('model.bbox_head', 'model.roi_head', 'model.roi_head'),
    ('model.bbox_roi_extractor', 'model.roi_head.bbox_roi_extractor', 'model.roi_head'),
    ('model.mask_head', 'model.roi_head.mask_head', 'model.roi_head'),
    ('model.mask_roi_extractor', 'model.roi_head.mask_roi_extractor', 'model.roi_head'),
    ('model.num_stages', 'model.roi_head.num_stages', 'model.roi_head'),
    (
        'model.rpn_head.anchor_scales',
        'model.rpn_head.anchor_generator',
        'model.rpn_head.anchor_generator',
    ),
    ('model.rpn_head.target_means', 'model.rpn_head.bbox_coder', 'model.rpn_head.bbox_coder'),
    ('*.imgs_per_gpu', '*.samples_per_gpu', '*.batch_size'),
    ('*.workers_per_gpu', '*.workers_per_gpu', '*.num_workers'),
    ('*.img_scale', '*.img_scale', '*.scale'),
    ('*.flip_ratio', '*.flip_ratio', '*.prob'),
    ('*.img_prefix', '*.img_prefix', '*.data_prefix'),
)
_PLACE = re.compile(r'[\w.*]+')


def foreign_key(path: str, language: str) -> str | None:
    """A hint for a key that another language has and this one does not; None if there is none."""
    # A path in lists, such as data.train[0].img_scale, is looked up without the indices.
    place = re.sub(r'\[\d+\]', '', path)
    here = list(TITLES).index(language)
    for row in _ROWS:
        for other, name in zip(TITLES, row):
            if other != language and here < len(row) and row[here] != name:
                inside = name.startswith('*.') and place.endswith(name[1:])
                if inside or place == _PLACE.match(name)[0]:
                    wanted = row[here].removeprefix('*.')
                    return f'a key of {TITLES[other]}; {TITLES[language]} has {wanted}'
    return None


def explain(error: ConfigError, language: str) -> None:
    """Extend an error about an unknown key by the language that has this key."""
    path, _, message = str(error).partition(':')
    found = foreign_key(path, language) if message.startswith(' there is no such key') else None
    if found:
        error.args = (f'{path}: {found}',)
