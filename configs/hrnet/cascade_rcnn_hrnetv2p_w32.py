# As the first release has it: trained on the proposals of a test, of which there are more.
_base_ = './cascade_rcnn_hrnetv2p_w32_20e.py'
train_cfg = dict(rpn_proposal=None)
test_cfg = dict(rpn=dict(nms_pre=2000, nms_post=2000, max_num=2000))
