# From scratch, in minutes.
optimizer = dict(type='AdamW', lr=0.001, weight_decay=0.05)
auto_scale_lr = dict(enable=True, base_batch_size=8)
optimizer_config = dict(grad_clip=dict(max_norm=10))
lr_config = dict(
    policy='cosine', by_epoch=False, warmup='linear', warmup_iters=50, warmup_ratio=0.1
)
total_epochs = 6
