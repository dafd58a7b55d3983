# FCOS of 2019: four images on each of four GPUs, normalised as Caffe's models are.
_base_ = './coco.py'
_norm = dict(mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], to_rgb=False)
data = dict(
    imgs_per_gpu=4,
    train=dict(img_norm_cfg=_norm),
    val=dict(img_norm_cfg=_norm),
    test=dict(img_norm_cfg=_norm),
)
