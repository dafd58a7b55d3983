# With the maps of things and stuff (COCO-stuff's stuffthingmaps) that HTC's semantic branch learns.
_base_ = './coco.py'
data = dict(train=dict(seg_prefix='data/coco/stuffthingmaps/train2017/'))
