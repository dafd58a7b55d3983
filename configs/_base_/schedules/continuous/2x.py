# 24 epochs.
_base_ = './1x.py'
lr_config = dict(step=[16, 22])
total_epochs = 24
