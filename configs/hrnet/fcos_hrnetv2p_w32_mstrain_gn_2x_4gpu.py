_base_ = './fcos_hrnetv2p_w32_gn_2x_4gpu.py'
data = dict(train=dict(img_scale=[(1333, 640), (1333, 800)]))
