# 12 epochs for FCOS as in mmdetection 3.
_base_ = '../fcos_1x.py'
optimizer_config = dict(grad_clip=dict(_delete_=True, max_norm=35, norm_type=2))
