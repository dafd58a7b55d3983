# FCOS of mmdetection 3: the usual mean and deviation, but blue first.
_base_ = './coco.py'
_norm = dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], to_rgb=False)
data = dict(
    imgs_per_gpu=4,
    train=dict(img_norm_cfg=_norm),
    val=dict(img_norm_cfg=_norm),
    test=dict(img_norm_cfg=_norm),
)
