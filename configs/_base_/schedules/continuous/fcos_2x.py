# 24 epochs for FCOS.
_base_ = './fcos_1x.py'
lr_config = dict(step=[16, 22], warmup='linear', warmup_ratio=0.001)
total_epochs = 24
