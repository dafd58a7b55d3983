"""The peers' side of ``benchmarks.learning``: the same trainings, written with what the peers ship.

Run by the peers' interpreter: ``python learning_peers.py CASE WORK_DIR SEED``.  The same command
again resumes.  Metrics go to mmengine's log, ``WORK_DIR/<time>/vis_data/scalars.json``.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any


def camvid(
    iterations: int, scale: tuple[int, int] = (480, 360), crop: tuple[int, int] = (256, 256)
) -> dict[str, Any]:
    """configs/camvid/fcn_hr18s_camvid_cpu.py as a config of mmsegmentation 1."""
    import mmseg
    from mmengine.config import Config
    from mmseg.utils import register_all_modules

    register_all_modules()
    configs = Path(mmseg.__file__).parent / '.mim' / 'configs' / 'hrnet'
    published = Config.fromfile(configs / 'fcn_hr18s_4xb2-40k_cityscapes-512x1024.py')
    published.merge_from_dict(
        {
            'model.pretrained': None,
            'model.data_preprocessor.size': crop,
            'model.data_preprocessor.seg_pad_val': 11,
            'model.decode_head.num_classes': 11,
            'model.decode_head.ignore_index': 11,
        }
    )

    def loader(part: str, images: int, steps: list[dict], train: bool) -> dict[str, Any]:
        return dict(
            batch_size=images,
            num_workers=1,
            persistent_workers=True,
            sampler=dict(type='InfiniteSampler' if train else 'DefaultSampler', shuffle=train),
            dataset=dict(
                type='BaseSegDataset',
                data_prefix=dict(
                    img_path=f'data/camvid/images/{part}', seg_map_path=f'data/camvid/labels/{part}'
                ),
                metainfo=dict(classes=[str(label) for label in range(11)]),
                reduce_zero_label=False,
                ignore_index=11,
                pipeline=[dict(type='LoadImageFromFile'), *steps, dict(type='PackSegInputs')],
            ),
        )

    labels = dict(type='LoadAnnotations')
    augment = [
        labels,
        dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=crop, cat_max_ratio=0.75, ignore_index=11),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
    ]
    resize = dict(type='Resize', scale=scale, keep_ratio=True)
    return dict(
        default_scope='mmseg',
        model=published.model,
        train_dataloader=loader('train', 8, augment, True),
        val_dataloader=loader('val', 3, [resize, labels], False),
        val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU'], ignore_index=11),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.001, weight_decay=0.05)),
        param_scheduler=[
            # mmengine's factors reach their last value one iteration before ``end``.
            dict(type='LinearLR', start_factor=0.1, begin=0, end=101, by_epoch=False),
            dict(type='PolyLR', power=0.9, begin=0, end=iterations + 1, by_epoch=False),
        ],
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=100),
        val_cfg=dict(type='ValLoop'),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=False),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=100, max_keep_ckpts=1),
        ),
    )


def bccd(iterations: int) -> dict[str, Any]:
    """The config that hrdet reads too, as it is."""
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules()
    config = Config.fromfile(Path(__file__).with_name('learning_configs') / 'bccd.py')
    assert config.train_cfg.max_iters == iterations
    # Helper variables, and what mmdetection's own tools/train.py reads, are not the runner's.
    return {k: v for k, v in config.items() if k[0] != '_' and k != 'auto_scale_lr'}


def hymenoptera(iterations: int) -> dict[str, Any]:
    """hrdet's config, but for what mmpretrain says differently or cannot do.

    ``work_dirs/quickstart_classification/mmpretrain.pth`` has the weights of hrdet's run in
    mmpretrain's layout.
    """
    from mmengine.config import Config
    from mmpretrain.utils import register_all_modules

    register_all_modules()
    configs = Path(__file__).parents[1] / 'configs' / 'hymenoptera'
    config = Config.fromfile(configs / 'hrnet-w18-small_hymenoptera_cpu.py')
    stages = {  # of W18-small v2, which mmpretrain has no name for
        f'stage{n}': dict(
            num_modules=modules,
            num_branches=n,
            block='BASIC' if n > 1 else 'BOTTLENECK',
            num_blocks=(2,) * n,
            num_channels=(18, 36, 72, 144)[:n] if n > 1 else (64,),
        )
        for n, modules in ((1, 1), (2, 1), (3, 3), (4, 2))
    }
    config.model.backbone = dict(type='HRNet', arch='w18', extra=stages)
    for part, loader in (('train', config.train_dataloader), ('val', config.val_dataloader)):
        loader.dataset.type = 'CustomDataset'  # its ImageNet has 1,000 classes
        loader.dataset.data_root += f'/{loader.dataset.pop("split")}'
        loader.sampler = dict(type='DefaultSampler', shuffle=part == 'train')
        loader.update(num_workers=1, persistent_workers=True)
    return dict(
        default_scope='mmpretrain',
        model=config.model | dict(data_preprocessor=config.data_preprocessor | dict(num_classes=2)),
        train_dataloader=config.train_dataloader,
        val_dataloader=config.val_dataloader,
        val_evaluator=dict(type='Accuracy', topk=(1,)),
        val_cfg=dict(),
        optim_wrapper=config.optim_wrapper,
        param_scheduler=dict(type='CosineAnnealingLR', by_epoch=False, T_max=iterations),
        train_cfg=dict(by_epoch=False, max_iters=iterations, val_interval=8),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=4, log_metric_by_epoch=False),
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=8, max_keep_ckpts=1),
        ),
        load_from='work_dirs/quickstart_classification/mmpretrain.pth',
    )


CASES = {
    'bccd': bccd,
    'camvid': camvid,
    'camvid_quarter': partial(camvid, scale=(240, 180), crop=(128, 128)),
    'hymenoptera': hymenoptera,
}


class Batches:
    """What ``benchmarks.batches`` saved, as a data set of whole batches."""

    def __init__(self, folder: str) -> None:
        self.paths = [
            Path(folder, f'batch{i}.npz') for i in range(len([*Path(folder).glob('*.npz')]))
        ]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, list]:
        import numpy as np
        import torch
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        inputs, samples = [], []
        with np.load(self.paths[index]) as arrays:
            for i in range(len(arrays) // 2):
                image, labels = arrays[f'image{i}'], arrays[f'labels{i}'].astype(np.int64)
                labels[labels == 255] = 11
                samples.append(SegDataSample(metainfo=dict(img_shape=labels.shape)))
                samples[i].gt_sem_seg = PixelData(data=torch.from_numpy(labels[None]))
                inputs.append(torch.from_numpy(image))
        return dict(inputs=inputs, data_samples=samples)


def main(case: str, work_dir: str, seed: str, length: str, batches: str = '') -> None:
    """Train, or resume; with ``batches`` train on them, from the weights saved with them."""
    from mmengine.runner import Runner
    from torch.utils.data import DataLoader

    settings = CASES[case](int(length))
    window = 10  # iterations over which logged losses are averaged
    if batches:
        data, window = Batches(batches), 1
        settings['train_dataloader'] = DataLoader(data, collate_fn=lambda items: items[0])
        settings['train_cfg']['max_iters'] = len(data)
        for key in ('val_dataloader', 'val_evaluator', 'val_cfg'):  # it would validate at the end
            del settings[key]
        settings['default_hooks']['logger']['interval'] = 1
        settings['load_from'] = str(Path(batches, 'weights.pth'))
    resume = not batches and Path(work_dir, 'last_checkpoint').exists()
    if resume:
        settings.pop('load_from', None)  # mmengine would resume from there
    Runner(
        **settings,
        work_dir=work_dir,
        randomness=dict(seed=int(seed)),
        resume=resume,
        log_processor=dict(by_epoch=False, window_size=window),
    ).train()


if __name__ == '__main__':
    main(*sys.argv[1:])
