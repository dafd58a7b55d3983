# COCO 2017, unpacked: data/coco/{annotations,train2017,val2017}.
data_root = 'data/coco/'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_images = dict(
    type='CocoDataset',
    img_scale=(1333, 800),
    img_norm_cfg=img_norm_cfg,
    size_divisor=32,
)
_train = dict(
    ann_file=data_root + 'annotations/instances_train2017.json',
    img_prefix=data_root + 'train2017/',
)
_val = dict(
    ann_file=data_root + 'annotations/instances_val2017.json',
    img_prefix=data_root + 'val2017/',
)
data = dict(
    imgs_per_gpu=2,
    workers_per_gpu=4,
    train=dict(**_images, **_train, flip_ratio=0.5),
    val=dict(**_images, **_val),
    test=dict(**_images, **_val),
)
