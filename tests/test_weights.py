"""Checkpoints by name and address: which addresses are tried, and where the files lie."""

import re

import pytest
import torch

from hrdet import weights, zoo
from hrdet.checkpoints import load_backbone, read_checkpoint, save_checkpoint
from hrdet.checkpoints.files import sha256
from hrdet.download import DownloadError
from hrdet.registry import ConfigError
from hrdet.weights import find
from tests.file_server import CONTENT, NAME


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def asked(monkeypatch):
    """Calls of ``download``, which succeeds at once."""
    calls = []

    def note(addresses, target, digest):
        calls.append((addresses, target, digest))
        return target

    monkeypatch.setattr(weights, 'download', note)
    return calls


HUB = 'https://huggingface.co/timm/hrnet_w18.ms_aug_in1k/resolve/main/model.safetensors'
OPENMMLAB = 'https://download.openmmlab.com/pretrain/third_party/hrnetv2_w18-00eb2006.pth'


@pytest.mark.parametrize(('source', 'addresses', 'file', 'digest'), [
    ('timm/hrnet_w18.ms_aug_in1k', [HUB], HUB.removeprefix('https://'), None),
    ('hf://timm/hrnet_w18.ms_aug_in1k/model.safetensors', [HUB], HUB.removeprefix('https://'),
     None),
    ('hf://me/mine/folder/a-e368c387.pth',
     ['https://huggingface.co/me/mine/resolve/main/folder/a-e368c387.pth'], 'a-e368c387.pth',
     'e368c387'),
    ('open-mmlab://msra/hrnetv2_w18',
     [OPENMMLAB.replace('download.openmmlab.com', 'mmassets.onedl.ai'), OPENMMLAB],
     'hrnetv2_w18-00eb2006.pth', '00eb2006'),
    ('torchvision://resnet101', ['https://download.pytorch.org/models/resnet101-63fe2227.pth'],
     'resnet101-63fe2227.pth', '63fe2227'),
    ('https://host/a/latest.pth', ['https://host/a/latest.pth'], 'host/a/latest.pth', None),
    ('https://host/get?id=3/4', ['https://host/get?id=3/4'], 'host/get?id=3%2F4', None),
    ('https://host/a.pth#sha256=' + 'AB' * 32, ['https://host/a.pth'], 'host/a.pth', 'ab' * 32),
])  # fmt: skip
def test_addresses(source, addresses, file, digest, asked, cache):
    assert find(source) == cache / file
    assert asked == [(addresses, cache / file, digest)]


def test_names_of_published_models(asked, cache):
    model = zoo.MODELS['hrnet-w18_3rdparty_8xb32_in1k']
    for name in (model.name, 'hrnet-w18_4xb32_in1k'):
        assert find(name) == cache / 'hrnet-w18_3rdparty_8xb32_in1k_20220120-0c10b180.pth'
    mirrored = model.url.replace('download.openmmlab.com', 'mmassets.onedl.ai')
    assert [addresses for addresses, _, _ in asked] == [[mirrored, model.url]] * 2


def test_a_file_without_hash_is_kept_under_the_models_name(asked, cache):
    name = 'faster_rcnn_hrnetv2p_w18_syncbn_1x'  # on OneDrive
    assert find(name) == cache / f'{name}.pth'
    assert asked[0][0] == [zoo.MODELS[name].url]


def test_paths_pass(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ('gone.pth', 'timm/mine.pth', 'a/b/c')
    assert [str(find(name)) for name in names] == list(names)
    (tmp_path / 'timm').mkdir()
    (tmp_path / 'timm/hrnet_w18').touch()
    assert str(find('timm/hrnet_w18')) == 'timm/hrnet_w18'
    assert asked == []


@pytest.mark.parametrize(('source', 'told'), [
    ('hf://timm/hrnet_w18', 'write hf://OWNER/REPO/FILE'),
    ('open-mmlab://resnet50', 'known are open-mmlab://msra/hrnetv2_w18_small, '),
    ('https://host/', 'the address of a file'),
    ('https://host/../../a.pth', 'the address of a file'),
    ('https://host/a.pth#sha256=xyz', '8 to 64 hexadecimal digits'),
])  # fmt: skip
def test_addresses_of_no_file(source, told, asked):
    with pytest.raises(ConfigError, match=re.escape(told)):
        find(source)


def test_mirrors_of_the_user_come_first(asked, monkeypatch):
    monkeypatch.setenv('HRDET_MIRRORS', 'http://lab/weights/, https://other')
    find('https://download.openmmlab.com/a/b-e368c387.pth')
    hosts = ('http://lab/weights', 'https://other', 'https://mmassets.onedl.ai',
             'https://download.openmmlab.com')  # fmt: skip
    assert asked[0][0] == [f'{host}/a/b-e368c387.pth' for host in hosts]
    monkeypatch.setenv('HRDET_MIRRORS', 'lab')
    with pytest.raises(ConfigError, match=r"HRDET_MIRRORS: 'lab' does not begin with https://"):
        find('https://host/a.pth')


def test_what_is_here_is_not_fetched_again(server, cache, monkeypatch):
    url = f'{server.url}/{NAME}'
    assert find(url) == cache / NAME
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    assert find(url).read_bytes() == CONTENT
    assert find(f'{url}#sha256={sha256(cache / NAME)}') == cache / NAME
    with pytest.raises(DownloadError, match=r'does not begin with 0{64}: delete it'):
        find(f'{url}#sha256={"0" * 64}')
    assert len(server.requests) == 1


def test_checkpoints_are_read_from_addresses(server, tmp_path):
    """Where ``pretrained=``, ``load_from=`` and CHECKPOINT of the tools end up."""
    weight = torch.randn(4, 3, 3, 3)
    save_checkpoint(tmp_path / 'a.pth', {'state_dict': {'backbone.conv1.weight': weight}})
    server.files['/a.pth'] = (tmp_path / 'a.pth').read_bytes()
    content = read_checkpoint(f'{server.url}/a.pth')
    assert torch.equal(content['state_dict']['backbone.conv1.weight'], weight)
    backbone = torch.nn.Module()
    backbone.conv1 = torch.nn.Conv2d(3, 4, 3, bias=False)
    report = load_backbone(backbone, f'{server.url}/a.pth')
    assert report.path == f'{server.url}/a.pth'
    assert torch.equal(backbone.conv1.weight, weight)
    with pytest.raises(FileNotFoundError, match='404 Not Found'):
        load_backbone(backbone, f'{server.url}/b.pth')


@pytest.mark.parametrize(('source', 'timm'), [
    ('hrnet-w30_3rdparty_8xb32_in1k', 'hrnet_w30.ms_in1k'),
    ('hrnet-w48_3rdparty_8xb32-ssld_in1k', 'hrnet_w48_ssld.paddle_in1k'),
    ('open-mmlab://msra/hrnetv2_w18_small', 'hrnet_w18_small_v2.ms_in1k'),
    ('open-mmlab://msra/hrnetv2_w40', 'hrnet_w40.ms_in1k'), ('htc_hrnetv2p_w18_20e', None),
])  # fmt: skip
def test_what_cannot_be_had_may_be_on_the_hub(source, timm, monkeypatch):
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    with pytest.raises(DownloadError) as error:
        find(source)
    assert ('timm publishes' in str(error.value)) == (timm is not None)
    assert timm is None or str(error.value).endswith(f' timm/{timm}')
