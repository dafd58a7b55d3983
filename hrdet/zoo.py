"""The published HRNet models by name: config, published figures, and where the weights are.

A model is known by the name of its table and by the names of its config in other releases.
``hrdet.weights`` finds or downloads the files.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrdet.registry import ConfigError, nearest

RELEASE = 'https://github.com/HRNet/HRNet-Object-Detection'
_PACKAGE = Path(__file__).resolve().parent
_CONFIGS = (_PACKAGE.parent / 'configs', _PACKAGE / '_share' / 'configs')

# Detectors on COCO val2017: name, box AP, mask AP (per cent), address; - for none.

# The 2019 models: the tables of HRNet-Object-Detection and mmdetection 0.6 and 1.x. The files of
# 2x models were trained for 20-23-24 epochs and have these AP.
_INCLUSIVE = """
faster_rcnn_hrnetv2p_w18_1x 36.1 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/faster_rcnn_hrnetv2p_w18_1x_20190522-e368c387.pth
faster_rcnn_hrnetv2p_w18_2x 38.1 - https://s3.ap-northeast-2.amazonaws.com/open-mmlab/mmdetection/models/hrnet/faster_rcnn_hrnetv2_w18_fpn_20_23_24e_20190522-ed3c0293.pth
faster_rcnn_hrnetv2p_w32_1x 39.5 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/faster_rcnn_hrnetv2p_w32_1x_20190522-d22f1fef.pth
faster_rcnn_hrnetv2p_w32_2x 40.8 - https://s3.ap-northeast-2.amazonaws.com/open-mmlab/mmdetection/models/hrnet/faster_rcnn_hrnetv2_w32_fpn_20_23_24e_20190522-2d67a5eb.pth
faster_rcnn_hrnetv2p_w40_1x 40.4 - https://s3.ap-northeast-2.amazonaws.com/open-mmlab/mmdetection/models/hrnet/faster_rcnn_hrnetv2_w40_fpn_1x_20190522-30502318.pth
faster_rcnn_hrnetv2p_w40_2x 41.4 - https://s3.ap-northeast-2.amazonaws.com/open-mmlab/mmdetection/models/hrnet/faster_rcnn_hrnetv2_w40_fpn_20_23_24e_20190522-050a7c7f.pth
faster_rcnn_hrnetv2p_w48_1x 40.9 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/faster_rcnn_hrnetv2p_w48_1x_20190820-5c6d0903.pth
faster_rcnn_hrnetv2p_w48_2x 41.5 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/faster_rcnn_hrnetv2p_w48_2x_20190820-79fb8bfc.pth
faster_rcnn_hrnetv2p_w18_syncbn_1x 37.2 - https://1drv.ms/u/s!Avk3cZ0cr1JedwR-inENTWU8X2E?e=llP4sR
faster_rcnn_hrnetv2p_w18_syncbn_mstrain_1x 37.6 - https://1drv.ms/u/s!Ao8vsd6OusckbJjMoiThi4DojsY?e=9qS2Mh
faster_rcnn_hrnetv2p_w32_syncbn_mstrain_1x 41.0 - -
faster_rcnn_hrnetv2p_w18_syncbn_randresizecrop_1x 37.6 - https://1drv.ms/u/s!Ao8vsd6Ousckab_Y65bdvmP9Qjk?e=LvWihi
faster_rcnn_hrnetv2p_w18_syncbn_mstrain_2x 39.4 - https://1drv.ms/u/s!Ao8vsd6OusckbYWE2UwMf5fas7A?e=oi0lmh
faster_rcnn_hrnetv2p_w32_syncbn_mstrain_2x 42.6 - https://1drv.ms/u/s!Ao8vsd6OusckanYRdh_HXQRGFjQ?e=hBtvfo
faster_rcnn_hrnetv2p_w18_syncbn_randresizecrop_2x 39.7 - -
mask_rcnn_hrnetv2p_w18_1x 37.3 34.2 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/mask_rcnn_hrnetv2p_w18_1x_20190522-c8ad459f.pth
mask_rcnn_hrnetv2p_w18_2x 39.2 35.7 https://s3.ap-northeast-2.amazonaws.com/open-mmlab/mmdetection/models/hrnet/mask_rcnn_hrnetv2_w18_fpn_20_23_24e_20190522-5c11b7f2.pth
mask_rcnn_hrnetv2p_w32_1x 40.7 36.8 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/mask_rcnn_hrnetv2p_w32_1x_20190522-374aaa00.pth
mask_rcnn_hrnetv2p_w32_2x 42.1 37.6 https://s3.ap-northeast-2.amazonaws.com/open-mmlab/mmdetection/models/hrnet/mask_rcnn_hrnetv2_w32_fpn_20_23_24e_20190522-4dd02a79.pth
mask_rcnn_hrnetv2p_w48_1x 42.4 38.1 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/mask_rcnn_hrnetv2p_w48_1x_20190820-0923d1ad.pth
mask_rcnn_hrnetv2p_w48_2x 42.9 38.3 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/mask_rcnn_hrnetv2p_w48_2x_20190820-70df51b2.pth
cascade_rcnn_hrnetv2p_w18_20e 41.2 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/cascade_rcnn_hrnetv2p_w18_20e_20190810-132012d0.pth
cascade_rcnn_hrnetv2p_w32_20e 43.7 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/cascade_rcnn_hrnetv2p_w32_20e_20190522-55bec4ee.pth
cascade_rcnn_hrnetv2p_w48_20e 44.6 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/cascade_rcnn_hrnetv2p_w48_20e_20190810-f40ed8e1.pth
cascade_mask_rcnn_hrnetv2p_w18_20e 41.9 36.4 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/cascade_mask_rcnn_hrnetv2p_w18_20e_20190810-054fb7bf.pth
cascade_mask_rcnn_hrnetv2p_w32_20e 44.5 38.5 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/cascade_mask_rcnn_hrnetv2p_w32_20e_20190810-76f61cd0.pth
cascade_mask_rcnn_hrnetv2p_w48_20e 46.0 39.5 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/cascade_mask_rcnn_hrnetv2p_w48_20e_20190810-d04a1415.pth
htc_hrnetv2p_w18_20e 43.1 37.9 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/htc_hrnetv2p_w18_20e_20190810-d70072af.pth
htc_hrnetv2p_w32_20e 45.3 39.6 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/htc_hrnetv2p_w32_20e_20190810-82f9ef5a.pth
htc_hrnetv2p_w48_20e 46.8 40.7 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/htc_hrnetv2p_w48_20e_20190810-f6d2c3fd.pth
htc_hrnetv2p_w48_28e 47.0 41.0 https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/htc_hrnetv2p_w48_28e_20190810-a4274b38.pth
fcos_hrnetv2p_w18_gn_1x_4gpu 35.2 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/fcos_hrnetv2p_w18_1x_20190810-87a17998.pth
fcos_hrnetv2p_w18_gn_2x_4gpu 38.2 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/fcos_hrnetv2p_w18_2x_20190810-dfd60a7b.pth
fcos_hrnetv2p_w32_gn_1x_4gpu 37.7 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/fcos_hrnetv2p_w32_1x_20190810-62014622.pth
fcos_hrnetv2p_w32_gn_2x_4gpu 40.3 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/fcos_hrnetv2p_w32_2x_20190810-8e987ec1.pth
fcos_hrnetv2p_w18_mstrain_gn_2x_4gpu 38.1 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/fcos_hrnetv2p_w18_mstrain_2x_20190810-eb846b2c.pth
fcos_hrnetv2p_w32_mstrain_gn_2x_4gpu 41.4 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/fcos_hrnetv2p_w32_mstrain_2x_20190810-96127bf8.pth
fcos_hrnetv2p_w48_mstrain_gn_2x_4gpu 42.9 - https://open-mmlab.s3.ap-northeast-2.amazonaws.com/mmdetection/models/hrnet/fcos_hrnetv2p_w48_mstrain_2x_20190810-f7dc8801.pth
"""

# The table of mmdetection 2 and 3. Its htc_hrnetv2p-w40_28e_coco has no published weights.
_CONTINUOUS = """
faster-rcnn_hrnetv2p-w18-1x_coco 36.9 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/faster_rcnn_hrnetv2p_w18_1x_coco/faster_rcnn_hrnetv2p_w18_1x_coco_20200130-56651a6d.pth
faster-rcnn_hrnetv2p-w18-2x_coco 38.9 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/faster_rcnn_hrnetv2p_w18_2x_coco/faster_rcnn_hrnetv2p_w18_2x_coco_20200702_085731-a4ec0611.pth
faster-rcnn_hrnetv2p-w32-1x_coco 40.2 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/faster_rcnn_hrnetv2p_w32_1x_coco/faster_rcnn_hrnetv2p_w32_1x_coco_20200130-6e286425.pth
faster-rcnn_hrnetv2p-w32_2x_coco 41.4 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/faster_rcnn_hrnetv2p_w32_2x_coco/faster_rcnn_hrnetv2p_w32_2x_coco_20200529_015927-976a9c15.pth
faster-rcnn_hrnetv2p-w40-1x_coco 41.2 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/faster_rcnn_hrnetv2p_w40_1x_coco/faster_rcnn_hrnetv2p_w40_1x_coco_20200210-95c1f5ce.pth
faster-rcnn_hrnetv2p-w40_2x_coco 42.1 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/faster_rcnn_hrnetv2p_w40_2x_coco/faster_rcnn_hrnetv2p_w40_2x_coco_20200512_161033-0f236ef4.pth
mask-rcnn_hrnetv2p-w18-1x_coco 37.7 34.2 https://download.openmmlab.com/mmdetection/v2.0/hrnet/mask_rcnn_hrnetv2p_w18_1x_coco/mask_rcnn_hrnetv2p_w18_1x_coco_20200205-1c3d78ed.pth
mask-rcnn_hrnetv2p-w18-2x_coco 39.8 36.0 https://download.openmmlab.com/mmdetection/v2.0/hrnet/mask_rcnn_hrnetv2p_w18_2x_coco/mask_rcnn_hrnetv2p_w18_2x_coco_20200212-b3c825b1.pth
mask-rcnn_hrnetv2p-w32-1x_coco 41.2 37.1 https://download.openmmlab.com/mmdetection/v2.0/hrnet/mask_rcnn_hrnetv2p_w32_1x_coco/mask_rcnn_hrnetv2p_w32_1x_coco_20200207-b29f616e.pth
mask-rcnn_hrnetv2p-w32-2x_coco 42.5 37.8 https://download.openmmlab.com/mmdetection/v2.0/hrnet/mask_rcnn_hrnetv2p_w32_2x_coco/mask_rcnn_hrnetv2p_w32_2x_coco_20200213-45b75b4d.pth
mask-rcnn_hrnetv2p-w40_1x_coco 42.1 37.5 https://download.openmmlab.com/mmdetection/v2.0/hrnet/mask_rcnn_hrnetv2p_w40_1x_coco/mask_rcnn_hrnetv2p_w40_1x_coco_20200511_015646-66738b35.pth
mask-rcnn_hrnetv2p-w40-2x_coco 42.8 38.2 https://download.openmmlab.com/mmdetection/v2.0/hrnet/mask_rcnn_hrnetv2p_w40_2x_coco/mask_rcnn_hrnetv2p_w40_2x_coco_20200512_163732-aed5e4ab.pth
cascade-rcnn_hrnetv2p-w18-20e_coco 41.2 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/cascade_rcnn_hrnetv2p_w18_20e_coco/cascade_rcnn_hrnetv2p_w18_20e_coco_20200210-434be9d7.pth
cascade-rcnn_hrnetv2p-w32-20e_coco 43.3 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/cascade_rcnn_hrnetv2p_w32_20e_coco/cascade_rcnn_hrnetv2p_w32_20e_coco_20200208-928455a4.pth
cascade-rcnn_hrnetv2p-w40-20e_coco 43.8 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/cascade_rcnn_hrnetv2p_w40_20e_coco/cascade_rcnn_hrnetv2p_w40_20e_coco_20200512_161112-75e47b04.pth
cascade-mask-rcnn_hrnetv2p-w18_20e_coco 41.6 36.4 https://download.openmmlab.com/mmdetection/v2.0/hrnet/cascade_mask_rcnn_hrnetv2p_w18_20e_coco/cascade_mask_rcnn_hrnetv2p_w18_20e_coco_20200210-b543cd2b.pth
cascade-mask-rcnn_hrnetv2p-w32_20e_coco 44.3 38.6 https://download.openmmlab.com/mmdetection/v2.0/hrnet/cascade_mask_rcnn_hrnetv2p_w32_20e_coco/cascade_mask_rcnn_hrnetv2p_w32_20e_coco_20200512_154043-39d9cf7b.pth
cascade-mask-rcnn_hrnetv2p-w40-20e_coco 45.1 39.3 https://download.openmmlab.com/mmdetection/v2.0/hrnet/cascade_mask_rcnn_hrnetv2p_w40_20e_coco/cascade_mask_rcnn_hrnetv2p_w40_20e_coco_20200527_204922-969c4610.pth
htc_hrnetv2p-w18_20e_coco 42.8 37.9 https://download.openmmlab.com/mmdetection/v2.0/hrnet/htc_hrnetv2p_w18_20e_coco/htc_hrnetv2p_w18_20e_coco_20200210-b266988c.pth
htc_hrnetv2p-w32_20e_coco 45.4 39.9 https://download.openmmlab.com/mmdetection/v2.0/hrnet/htc_hrnetv2p_w32_20e_coco/htc_hrnetv2p_w32_20e_coco_20200207-7639fa12.pth
htc_hrnetv2p-w40_20e_coco 46.4 40.8 https://download.openmmlab.com/mmdetection/v2.0/hrnet/htc_hrnetv2p_w40_20e_coco/htc_hrnetv2p_w40_20e_coco_20200529_183411-417c4d5b.pth
fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco 35.3 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/fcos_hrnetv2p_w18_gn-head_4x4_1x_coco/fcos_hrnetv2p_w18_gn-head_4x4_1x_coco_20201212_100710-4ad151de.pth
fcos_hrnetv2p-w18-gn-head_4xb4-2x_coco 38.2 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/fcos_hrnetv2p_w18_gn-head_4x4_2x_coco/fcos_hrnetv2p_w18_gn-head_4x4_2x_coco_20201212_101110-5c575fa5.pth
fcos_hrnetv2p-w32-gn-head_4xb4-1x_coco 39.5 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/fcos_hrnetv2p_w32_gn-head_4x4_1x_coco/fcos_hrnetv2p_w32_gn-head_4x4_1x_coco_20201211_134730-cb8055c0.pth
fcos_hrnetv2p-w32-gn-head_4xb4-2x_coco 40.8 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/fcos_hrnetv2p_w32_gn-head_4x4_2x_coco/fcos_hrnetv2p_w32_gn-head_4x4_2x_coco_20201212_112133-77b6b9bb.pth
fcos_hrnetv2p-w18-gn-head_ms-640-800-4xb4-2x_coco 38.3 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/fcos_hrnetv2p_w18_gn-head_mstrain_640-800_4x4_2x_coco/fcos_hrnetv2p_w18_gn-head_mstrain_640-800_4x4_2x_coco_20201212_111651-441e9d9f.pth
fcos_hrnetv2p-w32-gn-head_ms-640-800-4xb4-2x_coco 41.9 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/fcos_hrnetv2p_w32_gn-head_mstrain_640-800_4x4_2x_coco/fcos_hrnetv2p_w32_gn-head_mstrain_640-800_4x4_2x_coco_20201212_090846-b6f2b49f.pth
fcos_hrnetv2p-w40-gn-head_ms-640-800-4xb4-2x_coco 42.7 - https://download.openmmlab.com/mmdetection/v2.0/hrnet/fcos_hrnetv2p_w40_gn-head_mstrain_640-800_4x4_2x_coco/fcos_hrnetv2p_w40_gn-head_mstrain_640-800_4x4_2x_coco_20201212_124752-f22d2ce5.pth
"""

# mmpretrain's table, on ImageNet: name, config, parameters (M), operations (G) at 224 x 224, top-1,
# top-5 (per cent), date and hash in the file's name.
_IMAGENET = ('params_m', 'flops_g', 'top1', 'top5')
_CLASSIFIERS = """
hrnet-w18_3rdparty_8xb32_in1k hrnet-w18_4xb32_in1k 21.30 4.33 76.75 93.44 20220120-0c10b180
hrnet-w30_3rdparty_8xb32_in1k hrnet-w30_4xb32_in1k 37.71 8.17 78.19 94.22 20220120-8aa3832f
hrnet-w32_3rdparty_8xb32_in1k hrnet-w32_4xb32_in1k 41.23 8.99 78.44 94.19 20220120-c394f1ab
hrnet-w40_3rdparty_8xb32_in1k hrnet-w40_4xb32_in1k 57.55 12.77 78.94 94.47 20220120-9a2dbfc5
hrnet-w44_3rdparty_8xb32_in1k hrnet-w44_4xb32_in1k 67.06 14.96 78.88 94.37 20220120-35d07f73
hrnet-w48_3rdparty_8xb32_in1k hrnet-w48_4xb32_in1k 77.47 17.36 79.32 94.52 20220120-e555ef50
hrnet-w64_3rdparty_8xb32_in1k hrnet-w64_4xb32_in1k 128.06 29.00 79.46 94.65 20220120-19126642
hrnet-w18_3rdparty_8xb32-ssld_in1k hrnet-w18_4xb32_in1k 21.30 4.33 81.06 95.70 20220120-455f69ea
hrnet-w48_3rdparty_8xb32-ssld_in1k hrnet-w48_4xb32_in1k 77.47 17.36 83.63 96.79 20220120-d0459c38
"""

# mmsegmentation's table: name, memory of training (GB), images/s, mIoU, mIoU of several scales and
# flip (per cent), date and hash.
_MIOU = ('mem_gb', 'fps', 'miou', 'miou_ms_flip')
_SEGMENTORS = """
fcn_hr18s_512x1024_40k_cityscapes 1.7 23.74 73.86 75.91 20200601_014216-93db27d0
fcn_hr18_512x1024_40k_cityscapes 2.9 12.97 77.19 78.92 20200601_014216-f196fb4e
fcn_hr48_512x1024_40k_cityscapes 6.2 6.42 78.48 79.69 20200601_014240-a989b146
fcn_hr18s_512x1024_80k_cityscapes - - 75.31 77.48 20200601_202700-1462b75d
fcn_hr18_512x1024_80k_cityscapes - - 78.65 80.35 20200601_223255-4e7b345e
fcn_hr48_512x1024_80k_cityscapes - - 79.93 80.72 20200601_202606-58ea95d6
fcn_hr18s_512x1024_160k_cityscapes - - 76.31 78.31 20200602_190901-4a0797ea
fcn_hr18_512x1024_160k_cityscapes - - 78.80 80.74 20200602_190822-221e4a4f
fcn_hr48_512x1024_160k_cityscapes - - 80.65 81.92 20200602_190946-59b7973e
fcn_hr18s_512x512_80k_ade20k 3.8 38.66 31.38 32.45 20200614_144345-77fc814a
fcn_hr18_512x512_80k_ade20k 4.9 22.57 36.27 37.28 20210827_114910-6c9382c0
fcn_hr48_512x512_80k_ade20k 8.2 21.23 41.90 43.27 20200614_193946-7ba5258d
fcn_hr18s_512x512_160k_ade20k - - 33.07 34.56 20210829_174739-f1e7c2e7
fcn_hr18_512x512_160k_ade20k - - 36.79 38.58 20200614_214426-ca961836
fcn_hr48_512x512_160k_ade20k - - 42.02 43.86 20200614_214407-a52fc02c
fcn_hr18s_512x512_20k_voc12aug 1.8 43.36 65.50 68.89 20210829_174910-0aceadb4
fcn_hr18_512x512_20k_voc12aug 2.9 23.48 72.30 74.71 20200617_224503-488d45f7
fcn_hr48_512x512_20k_voc12aug 6.2 22.05 75.87 78.58 20200617_224419-89de05cd
fcn_hr18s_512x512_40k_voc12aug - - 66.61 70.00 20200614_000648-4f8d6e7f
fcn_hr18_512x512_40k_voc12aug - - 72.90 75.59 20200613_224401-1b4b76cd
fcn_hr48_512x512_40k_voc12aug - - 76.24 78.49 20200613_222111-1b0f18bc
fcn_hr48_480x480_40k_pascal_context 6.1 8.86 45.14 47.42 20200911_164852-667d00b0
fcn_hr48_480x480_80k_pascal_context - - 45.84 47.84 20200911_155322-847a6711
fcn_hr48_480x480_40k_pascal_context_59 - - 50.33 52.83 20210410_122738-b808b8b2
fcn_hr48_480x480_80k_pascal_context_59 - - 51.12 53.56 20210411_003240-3ae7081e
fcn_hr18s_512x512_80k_loveda 1.59 24.87 49.28 49.42 20211210_203228-60a86a7a
fcn_hr18_512x512_80k_loveda 2.76 12.92 50.81 50.95 20211210_203952-93d9c3b3
fcn_hr48_512x512_80k_loveda 6.20 9.61 51.42 51.64 20211211_044756-67072f55
fcn_hr18s_512x512_80k_potsdam 1.58 36.00 77.64 78.80 20211218_205517-ba32af63
fcn_hr18_512x512_80k_potsdam 2.76 19.25 78.26 79.24 20211218_205517-5d0387ad
fcn_hr48_512x512_80k_potsdam 6.20 16.42 78.39 79.34 20211219_020601-97434c78
fcn_hr18s_4x4_512x512_80k_vaihingen 1.58 38.11 71.81 73.10 20211231_230909-b23aae02
fcn_hr18_4x4_512x512_80k_vaihingen 2.76 19.55 72.57 74.09 20211231_231216-2ec3ae8a
fcn_hr48_4x4_512x512_80k_vaihingen 6.20 17.25 72.50 73.52 20211231_231244-7133cb22
fcn_hr18s_4x4_896x896_80k_isaid 4.95 13.84 62.30 62.97 20220118_001603-3cc0769b
fcn_hr18_4x4_896x896_80k_isaid 8.30 7.71 65.06 65.60 20220110_182230-49bf752e
fcn_hr48_4x4_896x896_80k_isaid 16.89 7.34 67.80 68.53 20220114_174643-547fc420
"""

_OPENMMLAB = 'https://download.openmmlab.com'
# ImageNet classifiers whose backbones OpenMMLab's configs start from, under their names there.
NICKNAMES = {
    f'open-mmlab://msra/hrnetv2_w{width}': (
        f'{_OPENMMLAB}/pretrain/third_party/hrnetv2_w{width}-{sha256}.pth'
    )
    for width, sha256 in (
        ('18_small', 'b5a04e21'), ('18', '00eb2006'), ('32', 'dc9eeb4f'), ('40', 'ed0b031c'),
        ('48', 'd2186c55'),
    )
} | {
    f'torchvision://resnet{depth}': f'https://download.pytorch.org/models/resnet{depth}-{sha256}.pth'
    for depth, sha256 in ((50, '0676ba61'), (101, '63fe2227'))
}  # fmt: skip
BACKBONES = {width: NICKNAMES[f'open-mmlab://msra/hrnetv2_w{width}'] for width in (18, 32, 40, 48)}


@dataclass(frozen=True, slots=True)
class Published:
    """A model of the published tables."""

    name: str
    task: str  # 'detection', 'classification' or 'segmentation'
    config: str  # below the folder configs
    figures: dict[str, float]  # what its table says about it; accuracies in per cent
    url: str | None  # as its table links it; None: the table links no file
    aliases: tuple[str, ...] = ()  # names of the same config in other releases

    @property
    def box_ap(self) -> float | None:
        """Of a detector: box AP on COCO val2017."""
        return self.figures.get('box_ap')

    @property
    def mask_ap(self) -> float | None:
        """Of a detector with masks: mask AP on COCO val2017."""
        return self.figures.get('mask_ap')

    def config_file(self) -> Path:
        """The config: of the checkout, or inside the installed package.

        Raises:
            ConfigError: it is in neither.
        """
        for folder in _CONFIGS:
            if (folder / self.config).is_file():
                return folder / self.config
        absent = f'{self.name}: {self.config} is neither in {_CONFIGS[0]} nor in {_CONFIGS[1]}'
        raise ConfigError(f'{absent}: install hrdet again, or give the path of the config file')


def _detectors(table: str, folder: str) -> Iterator[Published]:
    for name, *values, url in _rows(table):
        # mmdetection 2's name of the config is the folder of its file.
        old = () if url is None or '/v2.0/' not in url else (url.split('/')[-2],)
        figures = _figures(('box_ap', 'mask_ap'), values)
        yield Published(name, 'detection', f'{folder}/{name}.py', figures, url, old)


def _classifiers() -> Iterator[Published]:
    for name, config, *values, file in _rows(_CLASSIFIERS):
        url = f'{_OPENMMLAB}/mmclassification/v0/hrnet/{name}_{file}.pth'
        alias = () if 'ssld' in name else (config,)
        figures = _figures(_IMAGENET, values)
        yield Published(name, 'classification', f'hrnet/{config}.py', figures, url, alias)


def _segmentors() -> Iterator[Published]:
    for name, *values, file in _rows(_SEGMENTORS):
        url = f'{_OPENMMLAB}/mmsegmentation/v0.5/hrnet/{name}/{name}_{file}.pth'
        # mmsegmentation 1.x calls fcn_hr18_512x1024_40k_cityscapes
        # fcn_hr18_4xb2-40k_cityscapes-512x1024: 4 GPUs x 2 images, then schedule, data, crop.
        pattern = r'(fcn_hr\d+s?)(?:_4x4)?_(\d+x\d+)_(\d+k)_(\w+)'
        net, size, schedule, data = re.fullmatch(pattern, name).groups()
        images = 2 if data == 'cityscapes' else 4
        alias = f'{net}_4xb{images}-{schedule}_{data.replace("_", "-")}-{size}'
        figures = _figures(_MIOU, values)
        yield Published(name, 'segmentation', f'hrnet/{name}.py', figures, url, (alias,))


def _rows(table: str) -> Iterator[list[str | None]]:
    for line in table.split('\n')[1:-1]:
        yield [None if part == '-' else part for part in line.split()]


def _figures(names: Sequence[str], values: Sequence[str | None]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values) if value is not None}


MODELS = {
    model.name: model
    for model in (
        *_detectors(_INCLUSIVE, 'hrnet'),
        *_detectors(_CONTINUOUS, 'hrnet/continuous'),
        *_classifiers(),
        *_segmentors(),
    )
}
_ALIASES = {alias: model for model in MODELS.values() for alias in model.aliases}


def cache_folder() -> Path:
    """The folder of the weights: HRDET_HOME, else torch.hub's folder of checkpoints."""
    home = os.environ.get('HRDET_HOME')
    if home:
        return Path(home).expanduser()
    import torch  # slow: not for the names of models

    return Path(torch.hub.get_dir()) / 'checkpoints'


def named(text: Any) -> Published | None:
    """The published model of this name, the table's or its config's in any release."""
    return MODELS.get(text, _ALIASES.get(text)) if isinstance(text, str) else None


def config_named(text: str) -> Path | None:
    """The config of a published model, or another one of hrdet's ``configs``, by its name."""
    if model := named(text):
        return model.config_file()
    files = (file for folder in _CONFIGS for file in folder.glob('[!_]*/*.py'))
    return next((file for file in files if file.stem == text), None)


def similar(text: str) -> str:
    """The end of a sentence about an unknown name: ``'; did you mean 'x'?'``, or a full stop."""
    return nearest(text, [*MODELS, *_ALIASES]) or '.'


def resolve(config: Any, checkpoint: Any = None) -> tuple[Any, Any]:
    """``(config, checkpoint)`` with a model's name replaced by its config, and its weights' name.

    A name is a text without folder and suffix that does not name a file; other configs in hrdet's
    ``configs`` have names, too.  All else passes unchanged, and so does a checkpoint.

    Raises:
        ConfigError: no such name, or its config is not here.
    """
    plain = isinstance(config, str) and not Path(config).suffix and Path(config).name == config
    if not plain or Path(config).exists():
        return config, checkpoint
    file, model = config_named(config), named(config)
    if file is None:
        what = f'{config!r} is neither a config file nor a published model{similar(config)}'
        raise ConfigError(f'{what} The names are those of hrdet.zoo.MODELS')
    return file, model.name if model is not None and checkpoint is None else checkpoint
