# Multi-scale training, "Default": each image at one of three scales, all batches of one size.
_base_ = './coco.py'
data = dict(
    pad_size=(1600, 1024),
    train=dict(img_scale=[(1600, 1000), (1000, 600), (1333, 800)]),
)
