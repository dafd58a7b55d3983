# 28 epochs.
_base_ = './1x.py'
lr_config = dict(step=[24, 27])
total_epochs = 28
