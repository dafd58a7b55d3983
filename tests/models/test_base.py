"""The base of all models: what stands between DDP, which sees ``forward`` only, and the parts."""

import pytest
import torch
from torch import nn

from hrdet.models.base import BaseModel
from hrdet.models.preprocess import Preprocess
from tests.models import toy_batches as batches


class Doubled(BaseModel):
    """Tells which method was called, with features of a backbone that doubles its input."""

    def __init__(self, neck=None):
        super().__init__(Preprocess([0] * 3, [1] * 3, 'bgr'), Twice(), neck)

    def loss(self, batch):
        return {'loss': self.extract(batch)[0].sum()}

    def predict(self, batch, rescale=True):
        return [float(image.sum()) for image in self.extract(batch)[0]]


class Twice(nn.Module):
    def forward(self, images):
        return [2 * images]


def test_one_door_and_the_features_of_all_parts():
    batch = batches.batch(with_truth=False)
    pixels = batch.images[0][:, :60, :90].sum() + batch.images[1][:, :, :70].sum()
    model = Doubled()
    assert isinstance(model.neck, nn.Identity)
    assert model.classes is None
    assert model(batch)['loss'].item() == pytest.approx(2 * pixels.item())
    assert sum(model(batch, mode='predict')) == pytest.approx(2 * pixels.item())
    with pytest.raises(ValueError, match="'loss' or 'predict', not 'train'"):
        model(batch, mode='train')


def test_a_neck_works_on_the_backbone_s_features():
    class Half(nn.Module):
        def forward(self, features):
            return [0.25 * x for x in features]

    batch = batches.batch(with_truth=False)
    whole, half = Doubled().extract(batch), Doubled(Half()).extract(batch)
    torch.testing.assert_close(half[0], 0.25 * whole[0])


@pytest.mark.parametrize('method', ['loss', 'predict'])
def test_a_task_defines_both(method):
    model = BaseModel(Preprocess([0] * 3, [1] * 3), nn.Identity())
    with pytest.raises(NotImplementedError):
        getattr(model, method)(None)
