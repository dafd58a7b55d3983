"""The known segmentation data sets under the names that configs use."""

from hrdet.data.datasets.label_maps import LabelMapDataset
from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES
from hrdet.registry import register


@register()
class CityscapesDataset(LabelMapDataset):
    """Cityscapes: 19 classes of street scenes, as trainIds (Cordts et al. 2016)."""

    row = SEGMENTATION_SOURCES['cityscapes']


@register()
class ADE20KDataset(LabelMapDataset):
    """ADE20K's 150 classes of the scene parsing challenge (Zhou et al. 2017)."""

    row = SEGMENTATION_SOURCES['ade20k']


@register()
class PascalVOCDataset(LabelMapDataset):
    """VOC 2012: 20 classes and the background (Everingham et al. 2015)."""

    row = SEGMENTATION_SOURCES['voc12']


@register()
class PascalContextDataset(LabelMapDataset):
    """Pascal Context: 59 classes and the background (Mottaghi et al. 2014)."""

    row = SEGMENTATION_SOURCES['pascal_context']


@register()
class PascalContextDataset59(LabelMapDataset):
    """Pascal Context without the background."""

    row = SEGMENTATION_SOURCES['pascal_context_59']


@register()
class LoveDADataset(LabelMapDataset):
    """LoveDA: 7 classes of land cover (Wang et al. 2021)."""

    row = SEGMENTATION_SOURCES['loveda']


@register()
class PotsdamDataset(LabelMapDataset):
    """ISPRS Potsdam: 6 classes of aerial images."""

    row = SEGMENTATION_SOURCES['potsdam']


@register()
class ISPRSDataset(LabelMapDataset):
    """ISPRS Vaihingen: 6 classes of aerial images."""

    row = SEGMENTATION_SOURCES['vaihingen']


@register()
class iSAIDDataset(LabelMapDataset):
    """iSAID: 15 classes of aerial images and the background (Waqas Zamir et al. 2019)."""

    row = SEGMENTATION_SOURCES['isaid']


@register()
class CamVidDataset(LabelMapDataset):
    """CamVid: 11 classes of street scenes (Brostow et al. 2008)."""

    row = SEGMENTATION_SOURCES['camvid']
