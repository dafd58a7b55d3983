_base_ = [
    '../_base_/models/fcn_hr48.py',
    '../_base_/datasets/pascal_voc12_aug.py',
    '../_base_/schedules/schedule_20k.py',
    '../_base_/segmentation_runtime.py',
]
model = dict(decode_head=dict(num_classes=21))
