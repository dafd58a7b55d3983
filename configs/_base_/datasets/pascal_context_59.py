# Pascal Context without the background.
_base_ = './pascal_context.py'
dataset_type = 'PascalContextDataset59'
train_pipeline = [dict(_step) for _step in _base_.train_pipeline]
train_pipeline[1] = dict(type='LoadAnnotations', reduce_zero_label=True)
data = dict(
    train=dict(type=dataset_type, pipeline=train_pipeline),
    val=dict(type=dataset_type),
    test=dict(type=dataset_type),
)
