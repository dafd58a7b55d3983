# 12 epochs.  The learning rate is for 16 images a step and is scaled to the actual number.
optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001)
auto_scale_lr = dict(enable=True, base_batch_size=16)
optimizer_config = dict(grad_clip=dict(max_norm=35, norm_type=2))
lr_config = dict(
    policy='step', warmup='linear', warmup_iters=500, warmup_ratio=1.0 / 3, step=[8, 11]
)
total_epochs = 12
