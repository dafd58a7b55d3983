_base_ = [
    '../_base_/models/fcn_hr18s.py',
    '../_base_/datasets/pascal_context.py',
    '../_base_/schedules/schedule_40k.py',
    '../_base_/segmentation_runtime.py',
]
model = dict(
    decode_head=dict(num_classes=60),
    test_cfg=dict(mode='slide', crop_size=(480, 480), stride=(320, 320)),
)
optimizer = dict(lr=0.004, weight_decay=0.0001)
