# Multi-scale training, "ResizeCrop": resize to one of three scales, then crop around an object.
_base_ = './coco.py'
data = dict(
    pad_size=(1216, 800),
    train=dict(
        img_scale=(1200, 800),
        size_divisor=1,
        extra_aug=dict(
            rand_resize_crop=dict(scales=[[1400, 600], [1400, 800], [1400, 1000]], size=[1200, 800])
        ),
    ),
)
