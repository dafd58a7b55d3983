# 12 epochs as in mmdetection 3: a longer way up, gradients are not clipped.
_base_ = '../1x.py'
optimizer_config = dict(grad_clip=None)
lr_config = dict(warmup_ratio=0.001)
