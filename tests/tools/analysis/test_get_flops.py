"""The cost table that HRNet's README prints, number by number."""

import sys
from pathlib import Path

import pytest

from tools.analysis import get_flops

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'


def printed(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, 'argv', ['get_flops.py', *map(str, arguments)])
    get_flops.main()
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ('width', 'params', 'gflops'),
    [(18, '26.2', '159.1'), (32, '45.0', '245.3'), (40, '60.5', '314.9'), (48, '79.4', '399.1')],
)
def test_the_table_of_the_release(monkeypatch, capsys, width, params, gflops):
    config = CONFIGS / f'hrnet/faster_rcnn_hrnetv2p_w{width}_1x.py'
    lines = printed(monkeypatch, capsys, config, '--release-units')
    assert lines[-2:] == [f'#Params {params}M', f'GFLOPs {gflops}']


def test_parts_in_plain_units(monkeypatch, capsys):
    config = CONFIGS / 'hrnet/faster_rcnn_hrnetv2p_w18_1x.py'
    lines = printed(monkeypatch, capsys, config, '--shape', 800, 1280, '--rois', 1000)
    parts = {line.split()[0]: line.split()[1:3] for line in lines[1:]}
    assert parts == {
        'backbone': ['66.98', 'GMACs'],
        'neck': ['54.70', 'GMACs'],
        'rpn_head': ['50.60', 'GMACs'],
        'bbox_head': ['14.30', 'GMACs'],
        '#Params': ['27.48M'],
        'GMACs': ['186.59'],
    }


@pytest.mark.parametrize(
    ('width', 'params', 'flops'),
    [
        (18, '21.30', '4.33'),
        (64, '128.06', '29.00'),
    ],
)
def test_the_table_of_mmpretrain(monkeypatch, capsys, width, params, flops):
    lines = printed(monkeypatch, capsys, CONFIGS / f'hrnet/hrnet-w{width}_4xb32_in1k.py')
    assert lines[0].endswith(': input 224 x 224')
    assert lines[-3].startswith(f'Flops {flops} G of backbone and neck')
    assert lines[-2] == f'#Params {params}M'


def test_segmentors(monkeypatch, capsys):
    config = CONFIGS / 'hrnet/fcn_hr18s_512x1024_40k_cityscapes.py'
    lines = printed(monkeypatch, capsys, config)
    assert lines[0].endswith(': input 512 x 1024')
    assert [line.split()[:2] for line in lines[1:3]] == [
        ['backbone', '16.66'],
        ['decode_head', '2.56'],
    ]
    assert lines[-2:] == ['#Params 3.94M', 'GMACs 19.21']


def test_mistakes_are_named(monkeypatch, capsys):
    config = CONFIGS / 'hrnet/faster_rcnn_hrnetv2p_w18_1x.py'
    with pytest.raises(SystemExit, match=r'error: .*widht'):
        printed(monkeypatch, capsys, config, '--cfg-options', 'model.backbone.widht=18')
    with pytest.raises(SystemExit):
        printed(monkeypatch, capsys, config, '--rois', 0)
    assert 'at least 1' in capsys.readouterr().err
