"""Models and state_dicts made from the key lists of the releases, without their networks."""

import json
import zlib

import numpy as np
import pytest
import torch
from torch import nn

_INCREASE = ('incre_modules', 'increase_layers')  # of a classifier


class KeyListModel(nn.Module):
    """Holds the entries of a key list under their names, and nothing else."""

    def __init__(self, shapes):
        super().__init__()
        for key, shape in shapes.items():
            *path, leaf = key.split('.')
            node = self
            for name in path:
                if name not in node._modules:
                    node.add_module(name, nn.Module())
                node = node._modules[name]
            if leaf in ('running_mean', 'running_var', 'num_batches_tracked'):
                integer = leaf == 'num_batches_tracked'
                value = torch.zeros(shape, dtype=torch.int64 if integer else torch.float32)
                node.register_buffer(leaf, value)
            else:
                node.register_parameter(leaf, nn.Parameter(torch.zeros(shape)))


def weights_for(shapes):
    """Values that depend on name and shape only, so that a moved row is seen."""
    weights = {}
    for key, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        if key.endswith('num_batches_tracked'):
            weights[key] = torch.zeros(shape, dtype=torch.int64)
        else:
            weights[key] = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    return weights


@pytest.fixture(scope='session')
def shapes_of(reference_dir):
    """``shapes_of('mmdet3/faster-...')`` -> {key: shape}; ``light`` thins the trunk out."""

    def read(name, light=True):
        manifest = json.loads((reference_dir / 'manifests' / f'{name}.json').read_text())
        entries = manifest.get('keys') or manifest['state_dict']
        heavy = ('stage4', 'stage3', *(f'{name}.{i}' for name in _INCREASE for i in (2, 3)))
        return {
            key: tuple(shape)
            for key, shape in entries
            if not (light and any(part in key for part in heavy) and '.0.branches.0.' not in key)
        }

    return read


@pytest.fixture
def key_list_model():
    return KeyListModel


@pytest.fixture(name='weights_for')
def weights_for_fixture():
    return weights_for
