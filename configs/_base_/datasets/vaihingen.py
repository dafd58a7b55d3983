# ISPRS Vaihingen, as tiles.
_base_ = './potsdam.py'
dataset_type = 'ISPRSDataset'
data_root = 'data/vaihingen'
data = dict(
    train=dict(type=dataset_type, data_root=data_root),
    val=dict(type=dataset_type, data_root=data_root),
    test=dict(type=dataset_type, data_root=data_root),
)
