# From scratch, within an hour on 2 cores.
_base_ = './fcn_hr18s_camvid.py'
model = dict(pretrained=None)
data = dict(val_dataloader=dict(samples_per_gpu=3), test_dataloader=dict(samples_per_gpu=3))
optimizer = dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=0.05)
lr_config = dict(warmup='linear', warmup_iters=100, warmup_ratio=0.1, min_lr=0.0)
runner = dict(max_iters=1600)
checkpoint_config = dict(interval=200)
evaluation = dict(interval=200)
log_config = dict(interval=20)
