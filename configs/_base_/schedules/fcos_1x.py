# 12 epochs for FCOS: half the learning rate, more of it for biases.
_base_ = './1x.py'
optimizer = dict(lr=0.01, paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0))
optimizer_config = dict(grad_clip=None)
lr_config = dict(warmup='constant')
