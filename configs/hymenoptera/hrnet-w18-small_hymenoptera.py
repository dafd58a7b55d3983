# Fine-tuning on folders of your own, one a class: data/hymenoptera/{train,val}/{ants,bees}/*.jpg.
_base_ = '../hrnet/hrnet-w18-small-v2_4xb32_in1k.py'
model = dict(head=dict(num_classes=2))
train_dataloader = dict(dataset=dict(data_root='data/hymenoptera'))
val_dataloader = dict(dataset=dict(data_root='data/hymenoptera'))
test_dataloader = val_dataloader
load_from = 'hrnetv2_pretrained/hrnet_w18_small_model_v2.pth'

# Thirty short epochs instead of the hundred of ImageNet, with a smaller learning rate.
optim_wrapper = dict(optimizer=dict(lr=0.01))
auto_scale_lr = dict(base_batch_size=32)
param_scheduler = dict(milestones=[15, 25])
train_cfg = dict(max_epochs=30)
