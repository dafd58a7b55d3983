"""The published HRNet models by name: config, published figures, and where the weights are.

``init_model('faster_rcnn_hrnetv2p_w18_1x')`` goes through ``resolve``.  hrdet downloads nothing by
itself: it looks for files in ``cache_folder()``, and an error names a missing file's address.
"""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hrdet.registry import ConfigError

_RELEASE = 'https://github.com/HRNet/HRNet-Object-Detection'
_PACKAGE = Path(__file__).resolve().parent

# Name, figures, address; - for none. COCO val2017, in per cent: box AP, mask AP.
_COCO = ('box_ap', 'mask_ap')

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

# ImageNet classifiers by width, from which mmdetection 2 and 3 start training.
BACKBONES = {
    width: f'https://download.openmmlab.com/pretrain/third_party/hrnetv2_w{width}-{sha256}.pth'
    for width, sha256 in ((18, '00eb2006'), (32, 'dc9eeb4f'), (40, 'ed0b031c'), (48, 'd2186c55'))
}


@dataclass(frozen=True, slots=True)
class Published:
    """A model of the published tables."""

    name: str
    config: str  # below the folder configs
    figures: dict[str, float]  # what its table says about its accuracy, in per cent
    url: str | None  # as its table links it; None: the table links no file

    @property
    def box_ap(self) -> float | None:
        """Of a detector: box AP on COCO val2017."""
        return self.figures.get('box_ap')

    @property
    def mask_ap(self) -> float | None:
        """Of a detector with masks: mask AP on COCO val2017."""
        return self.figures.get('mask_ap')

    def config_file(self) -> Path:
        """The config in the source tree.

        Raises:
            ConfigError: hrdet is used as an installed package, away from its source tree.
        """
        folders = (_PACKAGE.parent / 'configs', Path('configs'))
        for folder in folders:
            if (folder / self.config).is_file():
                return folder / self.config
        raise ConfigError(
            f'{self.name}: there is no {self.config} in {folders[0]} or in ./configs. The configs '
            f'belong to the source tree and not to an installed package: run in a checkout of '
            f'hrdet, or give the path of the config file'
        )

    def checkpoint_file(self) -> Path:
        """The weights in the cache folder, under the name they are published with or the model's.

        Raises:
            FileNotFoundError: neither is there; says what to download and where to put it.
        """
        # Under the published name, which ends in a hash, or under the model's.
        own = cache_folder() / f'{self.name}.pth'
        linked = Path(self.url or '').name
        published = cache_folder() / linked if linked.endswith('.pth') else own
        for file in (published, own):
            if file.is_file():
                return file
        cure = f'download {self.url}' if self.url else f'{_RELEASE} prints its AP but links no file'
        raise FileNotFoundError(
            f'{self.name}: {published} is not there, and hrdet downloads nothing by itself: {cure} '
            f'and save it under that name, or give the file that you have as checkpoint. '
            f'The environment variable HRDET_HOME names another folder'
        )


def _read(table: str, folder: str, figures: Sequence[str]) -> dict[str, Published]:
    """The rows of a table by name; ``figures`` names its columns between name and address."""
    models = {}
    for line in table.split('\n')[1:-1]:
        name, *values, url = (None if part == '-' else part for part in line.split())
        known = {key: float(value) for key, value in zip(figures, values) if value is not None}
        models[name] = Published(name, f'{folder}/{name}.py', known, url)
    return models


MODELS = _read(_INCLUSIVE, 'hrnet', _COCO) | _read(_CONTINUOUS, 'hrnet/continuous', _COCO)


def cache_folder() -> Path:
    """The folder of the weights: HRDET_HOME, else torch.hub's folder of checkpoints."""
    home = os.environ.get('HRDET_HOME')
    return Path(home).expanduser() if home else Path(torch.hub.get_dir()) / 'checkpoints'


def resolve(config: Any, checkpoint: Any = None) -> tuple[Any, Any]:
    """``(config, checkpoint)`` with a model's name replaced by its files.

    A name is a text without folder and suffix that does not name a file.  Everything else passes
    unchanged, and so does a checkpoint that is given.

    Raises:
        ConfigError: no such name, or its config is not here.
        FileNotFoundError: no checkpoint given and none in the cache folder.
    """
    if not isinstance(config, str) or Path(config).suffix or Path(config).name != config:
        return config, checkpoint
    if Path(config).exists():
        return config, checkpoint
    if config not in MODELS:
        near = difflib.get_close_matches(config, MODELS, n=1)
        hint = f'; did you mean {near[0]!r}?' if near else '.'
        raise ConfigError(
            f'{config!r} is neither a config file nor a published model{hint} The names are those '
            f'of hrdet.zoo.MODELS'
        )
    model = MODELS[config]
    return model.config_file(), checkpoint or model.checkpoint_file()
