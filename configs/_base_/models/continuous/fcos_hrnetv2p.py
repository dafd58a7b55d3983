# FCOS as in mmdetection 3: continuous boxes.
_base_ = '../fcos_hrnetv2p.py'
model = dict(box_convention='continuous')
