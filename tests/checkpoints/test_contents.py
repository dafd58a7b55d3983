"""What is taken for the weights of a file, and odd files that hold none a model can use."""

from functools import partial

import numpy as np
import pytest
import torch

from hrdet.checkpoints import (
    CheckpointError,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    saved_classes,
)
from hrdet.checkpoints.contents import unpack


@pytest.mark.filterwarnings('ignore:.*quantize')
@pytest.mark.parametrize(
    ('make', 'kind'),
    [
        (torch.eye(3).to_sparse, 'sparse_coo'),
        (lambda: torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8), 'quantized'),
        (torch.eye(3).to_sparse_csr, 'sparse_csr'),
    ],
)
def test_only_dense_tensors(make, kind):
    with pytest.raises(CheckpointError, match=f'state_dict: conv.weight is a {kind} tensor'):
        unpack({'state_dict': {'conv.weight': make()}})


def test_tensors_without_values(key_list_model, tmp_path):
    torch.save({'roi_head.a': torch.empty(3, device='meta')}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth: roi_head\.a has no values'):
        load_checkpoint(key_list_model({'roi_head.a': (3,)}), tmp_path / 'a.pth')


@pytest.mark.parametrize('content', [
    {},
    {0: torch.zeros(1)},
    {'state_dict': {0: torch.zeros(1)}},
    {'state_dict': {'a': 1.0}},
    {'state_dict': [torch.zeros(1)]},
    {'model': None, 'meta': 'text'},
])  # fmt: skip
def test_no_weights(content):
    with pytest.raises(CheckpointError, match='no weights in it'):
        unpack(content)


@pytest.mark.parametrize('meta', [
    None, 'text', [1], {'dataset_meta': [1]}, {'mmdet_version': 3, 'CLASSES': None},
])  # fmt: skip
def test_meta_that_tells_nothing(meta):
    weights = {'bbox_head.fc_cls.weight': torch.zeros(4, 2), 'roi_head.x': torch.zeros(())}
    assert saved_classes({'state_dict': weights, 'meta': meta}) == 3


@pytest.mark.parametrize(('meta', 'place'), [
    ({'classes': 3}, 'meta.classes'), ({'classes': [1, 2]}, 'meta.classes'),
    ({'CLASSES': 'abc'}, 'meta.CLASSES'), ({'classes': {'a': 0}}, 'meta.classes'),
    ({'dataset_meta': {'classes': 'cat'}}, 'meta.dataset_meta.classes'),
])  # fmt: skip
def test_classes_that_are_no_names_are_refused(tmp_path, key_list_model, meta, place):
    """By everything that reads weights: training, testing, prediction, export."""
    content = {'state_dict': {'roi_head.a': torch.ones(3)}, 'meta': meta}
    torch.save(content, tmp_path / 'a.pth')
    for read in (unpack, partial(load_checkpoint, key_list_model({'roi_head.a': (3,)}))):
        with pytest.raises(CheckpointError, match=rf'a\.pth: {place} is not a list of the names'):
            read(tmp_path / 'a.pth')


@pytest.mark.parametrize('ema', [None, 'text', [1], {'training': 3}, {'training': {0: 1}}])
def test_no_average(ema):
    with pytest.raises(CheckpointError, match='holds no moving average'):
        unpack({'state_dict': {'a': torch.zeros(1)}, 'ema': ema}, average=False)


def test_a_number_in_place_of_rows(key_list_model):
    """No row can be moved in it: it is reported as of another shape."""
    model = key_list_model({'roi_head.bbox_head.fc_cls.weight': (3, 2)})
    weights = {
        'neck.fpn_convs.0.conv.weight': torch.zeros(1),
        'bbox_head.fc_cls.weight': torch.tensor(1.0),
    }
    with pytest.raises(CheckpointError, match='of another shape'):
        load_checkpoint(model, weights)


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_weights_that_are_not_finite_are_refused(key_list_model, value, dtype):
    model = key_list_model({'roi_head.a': (2, 3), 'roi_head.b': (4,)})
    weights = {'roi_head.a': torch.ones(2, 3), 'roi_head.b': torch.ones(4, dtype=dtype)}
    weights['roi_head.b'][2] = value
    with pytest.raises(CheckpointError, match=r'state_dict: roi_head\.b holds NaN or infinite'):
        load_checkpoint(model, weights)
    assert not any(parameter.any() for parameter in model.parameters())
    weights['roi_head.b'][2] = 1
    assert load_checkpoint(model, weights).loaded == 2


@pytest.mark.parametrize('dtype', [torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_floats_are_refused(key_list_model, dtype):
    model = key_list_model({'roi_head.a': (2, 3)})
    with pytest.raises(CheckpointError, match=rf'roi_head\.a holds {dtype}, not weights'):
        load_checkpoint(model, {'roi_head.a': torch.ones(2, 3).to(dtype)})


WEIGHTS = {'roi_head.a': torch.ones(3), 'roi_head.b': torch.full((2,), 2.0)}
OTHERS = {'roi_head.a': torch.zeros(3), 'roi_head.b': torch.zeros(2)}
OPTIMIZER = {'state': {0: {'exp_avg': torch.ones(3)}}, 'param_groups': [{'params': [0]}]}


def prefixed(prefix, weights=None):
    return {prefix + key: value for key, value in (weights or WEIGHTS).items()}


@pytest.mark.parametrize(
    'content',
    [
        prefixed('module.'),
        {'net': WEIGHTS, 'acc': 90.0, 'epoch': 3},
        {'model_state_dict': prefixed('module.'), 'optimizer_state_dict': OPTIMIZER},
        {'state_dict': prefixed('model.'), 'pytorch-lightning_version': '2', 'callbacks': {}},
        {'model': prefixed('module.model.'), 'optimizer': OPTIMIZER},
        {'my_detector': WEIGHTS, 'optimizer': OPTIMIZER, 'epoch': 1},
        {'a': {'b': WEIGHTS}},
        {'state_dict': OTHERS, 'state_dict_ema': WEIGHTS},  # timm tests the average
        {'params': OTHERS, 'params_ema': WEIGHTS},
        {'model': OTHERS, 'model_ema': {'n_averaged': torch.tensor(5), **prefixed('module.')}},
    ],
)
def test_weights_under_the_keys_of_other_programs(content):
    found = unpack(content).weights
    assert found.keys() == WEIGHTS.keys()
    assert all(found[key] is WEIGHTS[key] for key in WEIGHTS)


def test_weights_that_are_averaged_elsewhere():
    found = unpack({'state_dict': WEIGHTS, 'state_dict_ema': OTHERS}, average=False).weights
    assert found['roi_head.a'] is WEIGHTS['roi_head.a']


def test_a_prefix_that_only_some_entries_have_stays():
    weights = {'model.a': torch.zeros(1), 'loss.b': torch.zeros(1)}
    assert unpack(weights).weights.keys() == weights.keys()


def test_several_models_in_one_file_are_named(tmp_path):
    torch.save({'student': WEIGHTS, 'teacher': OTHERS, 'epoch': 3}, tmp_path / 'two.pth')
    with pytest.raises(
        CheckpointError, match=r'two\.pth: .*several keys, student, teacher.*save_checkpoint'
    ):
        unpack(tmp_path / 'two.pth')


@pytest.mark.parametrize('key', ['', 'state_dict', 'net'])
def test_the_cure_for_weights_in_numpy_arrays_works(tmp_path, key):
    arrays = {'a.weight': np.ones((2, 2), np.float32), 'a.bias': np.zeros(2, np.float32)}
    torch.save({key: arrays} if key else arrays, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='numpy arrays, which are not read') as caught:
        unpack(tmp_path / 'a.pth')
    cure = str(caught.value).partition('save tensors instead: ')[2]
    names = dict(file=tmp_path / 'a.pth', new=tmp_path / 'b.pth', torch=torch)
    exec(cure, names | dict(read_checkpoint=read_checkpoint, save_checkpoint=save_checkpoint))
    assert torch.equal(unpack(tmp_path / 'b.pth').weights['a.weight'], torch.ones(2, 2))
