"""Small models of each kind, and skips without the packages of ONNX."""

from importlib.util import find_spec

import pytest
import torch
from torch import nn

from hrdet.export.files import _ONNX_PACKAGES
from hrdet.models.classifiers import ImageClassifier
from hrdet.models.heads import FCNHead, LinearClsHead
from hrdet.models.preprocess import Preprocess
from hrdet.models.segmentors import EncoderDecoder

MISSING = [name for name in _ONNX_PACKAGES if find_spec(name) is None]
needs_onnx = pytest.mark.skipif(
    bool(MISSING), reason=f'needs {", ".join(MISSING)}: the extra export'
)
needs_openvino = pytest.mark.skipif(
    find_spec('openvino') is None, reason='needs openvino: the extra openvino'
)
FORMATS = [
    pytest.param('m.onnx', marks=needs_onnx),
    'm.pt2',
    pytest.param('m.xml', marks=[needs_onnx, needs_openvino]),
]
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


class Branches(nn.Module):
    """A backbone of two maps, with batch norms that are not the identity."""

    def __init__(self):
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4), nn.BatchNorm2d(8), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(8, 8, 2, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        for norm in (self.fine[1], self.coarse[1]):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)

    def forward(self, images):
        fine = self.fine(images)
        return [fine, self.coarse(fine)]


class LastMean(nn.Module):
    def forward(self, maps):
        return maps[-1].mean(dim=(2, 3))


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    head = LinearClsHead(3, 8)
    nn.init.normal_(head.fc.weight)
    model = ImageClassifier(Preprocess(MEAN, STD, size_divisor=1), Branches(), [LastMean()], head)
    model.classes = ('ant', 'bee', 'ähre')
    return model.eval()


def make_segmentor(**options):
    torch.manual_seed(0)
    head = FCNHead(4, [8, 8], 8, num_convs=1, kernel_size=1, concat_input=False)
    nn.init.normal_(head.conv_seg.weight)
    model = EncoderDecoder(Preprocess(MEAN, STD, size_divisor=1), Branches(), head, **options)
    model.classes, model.palette = ('a', 'b', 'c', 'd'), ((0, 1, 2),) * 4
    model.eval()
    with torch.no_grad():  # no class is ahead on average: each gets its pixels
        logits = head(model.backbone(torch.randn(1, 3, 64, 64)))
        head.conv_seg.bias.copy_(-logits.mean(dim=(0, 2, 3)))
    return model


@pytest.fixture
def segmentor():
    return make_segmentor()


@pytest.fixture
def whole_batch():
    """Makes batches of noise in blocks that fill the input."""
    from hrdet.structures import Batch, ImageMeta

    def make(number, height, width, seed=0):
        generator = torch.Generator().manual_seed(seed)
        size = (height, width)
        blocks = torch.rand(number, 3, height // 8, width // 8, generator=generator)
        images = nn.functional.interpolate(255 * blocks, size=size).to(torch.uint8)
        sizes = torch.tensor([size] * number, dtype=torch.float32)
        return Batch(images, [ImageMeta('', 0, size, size, size)] * number, sizes, sizes)

    return make
