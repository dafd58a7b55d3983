# 20 epochs.
_base_ = './1x.py'
lr_config = dict(step=[16, 19])
total_epochs = 20
