# The data set that tools/make_shapes.py writes, at a size for a CPU.
data_root = 'data/shapes/'
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_images = dict(
    type='CocoDataset',
    img_scale=(160, 128),
    img_norm_cfg=img_norm_cfg,
    size_divisor=32,
)
_train = dict(
    ann_file=data_root + 'annotations/instances_train.json', img_prefix=data_root + 'train/'
)
_val = dict(ann_file=data_root + 'annotations/instances_val.json', img_prefix=data_root + 'val/')
data = dict(
    imgs_per_gpu=8,
    workers_per_gpu=1,
    test_imgs_per_gpu=8,
    train=dict(flip_ratio=0.5, **_train, **_images),
    val=dict(**_val, **_images),
    test=dict(**_val, **_images),
)
