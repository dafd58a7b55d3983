# 24 epochs.
_base_ = './1x.py'
lr_config = dict(step=[20, 23])
total_epochs = 24
