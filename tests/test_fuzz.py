"""Every reader on damaged files: it reads them, or refuses them in one line that names the file.

``make fuzz`` tries many, in a minute; here a few, always the same.
"""

import contextlib
import io
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hrdet.checkpoints import load_checkpoint
from hrdet.checkpoints.files import save_safetensors
from hrdet.config import load_config, lower
from hrdet.data import CocoDataset, LabelMapDataset
from hrdet.data.annotations.proposals import read_proposals
from hrdet.data.formats import recognise_labels
from hrdet.data.inputs import read_image
from hrdet.evaluation import CocoMetric
from hrdet.run_tool import one_line
from hrdet.structures import Detections
from tests import damage

# The profile of ``make fuzz`` says how many; with another a few.
fuzz = settings() if settings.get_current_profile_name() == 'fuzz' else settings(max_examples=15)

H, W = 24, 32
PIXELS = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
IMAGES = {
    suffix: cv2.imencode(suffix, PIXELS)[1].tobytes()
    for suffix in ('.jpg', '.png', '.bmp', '.tif', '.webp', '.ppm')
}
COCO = {
    'images': [{'id': i, 'file_name': 'a.jpg', 'height': H, 'width': W} for i in (1, 2)],
    'categories': [{'id': 3, 'name': 'cat'}, {'id': 7, 'name': 'dog', 'supercategory': 'pet'}],
    'annotations': [
        {
            **dict(id=1, image_id=1, category_id=3, bbox=[4, 5, 10, 8], area=80, iscrowd=0),
            'segmentation': [[4, 5, 14, 5, 14, 13, 4, 13]],
        },
        {
            **dict(id=2, image_id=1, category_id=7, bbox=[0, 0, 3, 2], area=6, iscrowd=1),
            'segmentation': {'size': [H, W], 'counts': [0, 2, 22, 2, 22, 2, H * W - 50]},
        },
        {
            **dict(id=3, image_id=2, category_id=7, bbox=[1, 1, 20, 20], area=400, iscrowd=0),
            'segmentation': {'size': [H, W], 'counts': 'Q1=c0L2N2000000e4'},
        },
    ],
}
VOC = f"""<annotation> <filename> a.jpg </filename>
<size> <width> {W} </width> <height> {H} </height> <depth> 3 </depth> </size>
<object> <name> cat </name> <difficult> 0 </difficult> <bndbox> <xmin> 5 </xmin> <ymin> 6 </ymin>
<xmax> 14 </xmax> <ymax> 13 </ymax> </bndbox> </object>
</annotation>"""
YOLO = '0 0.5 0.5 0.25 0.5\n1 0.1 0.1 0.9 0.1 0.9 0.8'
YOLO_DATA = 'path: . \ntrain: images/train \nval: images/train \nnames: [ cat , dog ]'
LABELME = {
    **dict(version='5.0', flags={}, imagePath='a.jpg', imageHeight=H, imageWidth=W, imageData=None),
    'shapes': [
        dict(label='cat', shape_type='rectangle', points=[[4, 5], [14, 13]], group_id=None),
        dict(label='dog', shape_type='polygon', points=[[1, 1], [20, 1], [9, 20]], group_id=1),
    ],
}


@contextlib.contextmanager
def folder_with(**files: bytes) -> Iterator[Path]:
    """A folder with these files; a double underscore in a name is a slash, a single one a dot."""
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for path, content in files.items():
            target = Path(name, *path.replace('_', '.').replace('..', '/').split('/'))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        yield Path(name)


@contextlib.contextmanager
def refused_or_read(name: str) -> Iterator[None]:
    """Within it only errors are raised that tools tell in a line, which names the file."""
    try:
        yield
    except Exception as error:
        line = one_line(error)
        if line is None:
            raise
        assert name in line, line


def evaluate(dataset):
    """What an evaluation does with the annotations: two detections for each image."""
    metric = CocoMetric(dataset, metrics=['bbox'])
    found = Detections(torch.tensor([[4.0, 5, 14, 13]] * 2), torch.ones(2), torch.tensor([0, 0]))
    with contextlib.redirect_stdout(io.StringIO()):
        for index in range(len(dataset)):
            metric.update(dataset[index].meta, found)
        metric.compute()


@fuzz
@given(damage.damaged_json(COCO), st.booleans())
def test_coco(content, with_mask):
    with folder_with(anns_json=content, a_jpg=IMAGES['.jpg']) as folder, refused_or_read('a'):
        for test_mode in (False, True):
            dataset = CocoDataset(
                str(folder / 'anns.json'),
                str(folder),
                with_mask=with_mask,
                min_size=1,
                test_mode=test_mode,
            )
            for index in range(len(dataset)):
                truth = dataset[index].truth
                assert truth is None or np.isfinite(truth.boxes).all()
                if truth is not None and truth.masks is not None:
                    assert truth.masks.max(initial=0) <= 1
        evaluate(dataset)


@fuzz
@given(damage.damaged_words(VOC))
def test_voc(content):
    files = dict(Annotations__a_xml=content, JPEGImages__a_jpg=IMAGES['.jpg'])
    with folder_with(**files) as folder, refused_or_read(folder.name):
        recognise_labels(str(folder))


@fuzz
@given(damage.damaged_words(YOLO), damage.damaged_words(YOLO_DATA), st.booleans())
def test_yolo(labels, data, which):
    files = dict(
        data_yaml=YOLO_DATA.encode() if which else data,
        images__train__a_jpg=IMAGES['.jpg'],
        labels__train__a_txt=labels if which else YOLO.encode(),
    )
    with folder_with(**files) as folder, refused_or_read(folder.name):
        recognise_labels(str(folder))


@fuzz
@given(damage.damaged_json(LABELME))
def test_labelme(content):
    with folder_with(a_json=content, a_jpg=IMAGES['.jpg']) as folder, refused_or_read(folder.name):
        recognise_labels(str(folder))


PROPOSALS = [dict(image_id=i, bbox=[1, 2, 3.5, 4], score=0.5) for i in (1, 1, 2)]


@fuzz
@given(damage.damaged_json(PROPOSALS))
def test_proposals(content):
    with folder_with(proposals_json=content) as folder, refused_or_read('proposals.json'):
        read_proposals(str(folder / 'proposals.json'))


PNG_MAP = cv2.imencode('.png', PIXELS[..., 0] % 3)[1].tobytes()


@fuzz
@given(damage.damaged_bytes(PNG_MAP) | damage.strange_pngs(), damage.damaged_words('a'))
def test_label_maps(content, names):
    files = dict(img__a_jpg=IMAGES['.jpg'], ann__a_png=content, split_txt=names)
    with folder_with(**files) as folder, refused_or_read(folder.name):
        for split in ('', 'split.txt'):
            dataset = LabelMapDataset(
                str(folder), 'img', 'ann', split, classes=('a', 'b', 'c'), seg_map_suffix='.png'
            )
            for index in range(len(dataset)):
                assert dataset[index].truth.labels.dtype == np.uint8


@pytest.mark.parametrize('suffix', IMAGES)
@fuzz
@given(st.data())
def test_images(suffix, data):
    content = data.draw(
        damage.damaged_bytes(IMAGES[suffix])
        if suffix != '.png'
        else damage.damaged_bytes(IMAGES[suffix]) | damage.strange_pngs()
    )
    with folder_with(image_raw=content) as folder, refused_or_read('image.raw'):
        pixels = read_image(str(folder / 'image.raw'))
        assert pixels.dtype == np.uint8
        assert pixels.shape[2:] == (3,)


CONFIGS = Path(__file__).resolve().parents[1] / 'configs/quickstart'


@pytest.mark.parametrize(
    'name', ['mask_rcnn_hrnetv2p_w18_small', 'fcn_hr18s', 'hrnet-w18-small_classification']
)
@fuzz
@given(st.data())
def test_configs(name, data):
    """Values of any kind in any place are refused by their path, or make a config that is whole."""
    plain = load_config(CONFIGS / f'{name}.py').to_dict()
    with refused_or_read(''):
        lower(load_config(data.draw(damage.damaged_values(plain)))).check()


CONFIG = b"""_base_ = 'base.py'
model = dict(type='FasterRCNN', neck=dict(out_channels=64))
total_epochs = 1
data = dict(imgs_per_gpu=2, train=dict(ann_file='a.json'))
"""


@fuzz
@given(st.integers(0, len(CONFIG)), st.integers(0, len(CONFIG)))
def test_config_files(start, end):
    """A part is left out; files are programs, so nothing else is put in."""
    files = dict(config_py=CONFIG[: min(start, end)] + CONFIG[max(start, end) :], base_py=b'a = 1')
    with folder_with(**files) as folder, refused_or_read(''):
        load_config(folder / 'config.py')


def model():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def saved(content) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


CHECKPOINT = dict(
    meta=dict(epoch=1, iter=10, CLASSES=('cat', 'dog'), config='a = 1'),
    state_dict=model().state_dict(),
)


@fuzz
@given(damage.damaged_values(CHECKPOINT).map(saved) | damage.damaged_bytes(saved(CHECKPOINT)))
def test_checkpoints(content):
    with folder_with(latest_pth=content) as folder, refused_or_read('latest.pth'):
        target = model()
        load_checkpoint(target, folder / 'latest.pth')
        assert all(torch.isfinite(value).all() for value in target.state_dict().values())


@fuzz
@given(st.data())
def test_safetensors(data):
    with folder_with() as folder, refused_or_read('weights.safetensors'):
        file = folder / 'weights.safetensors'
        save_safetensors(file, model().state_dict(), CHECKPOINT['meta'])
        file.write_bytes(data.draw(damage.damaged_bytes(file.read_bytes())))
        load_checkpoint(model(), file)
