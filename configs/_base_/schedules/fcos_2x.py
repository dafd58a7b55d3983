# 24 epochs for FCOS.
_base_ = './fcos_1x.py'
lr_config = dict(step=[16, 22])
total_epochs = 24
