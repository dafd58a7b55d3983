"""The published models by name: their table, their configs, their cached weights."""

import json
import re
from pathlib import Path

import pytest

from hrdet import zoo
from hrdet.apis import init_detector
from hrdet.registry import ConfigError
from hrdet.weights import find

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'

NAME = 'faster_rcnn_hrnetv2p_w18_1x'
LINKED = f'{NAME}_20190522-e368c387.pth'  # what its address ends in
WITHOUT_FILE = 'faster_rcnn_hrnetv2p_w32_syncbn_mstrain_1x'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_HOME', str(tmp_path / 'cache'))
    (tmp_path / 'cache').mkdir()
    return tmp_path / 'cache'


def test_accuracies_are_those_of_the_release(reference_dir):
    """Every number of the release's table, each once."""
    page = (reference_dir / 'model_zoo.md').read_text().split('##')[0]
    table = [line.split('|')[2:-1] for line in page.splitlines() if line.startswith('|')][2:]
    cells = [cell.strip() for row in table for cell in row if cell.strip()]
    ours = [
        f'{m.box_ap} ({m.mask_ap})' if m.mask_ap else f'{m.box_ap}'
        for m in zoo.MODELS.values()
        if m.task == 'detection' and 'continuous' not in m.config
    ]
    assert sorted(ours) == sorted(cells)


@pytest.mark.parametrize(('name', 'box', 'mask'), [
    ('faster_rcnn_hrnetv2p_w18_2x', 38.1, None), ('mask_rcnn_hrnetv2p_w48_1x', 42.4, 38.1),
    ('cascade_mask_rcnn_hrnetv2p_w32_20e', 44.5, 38.5), ('htc_hrnetv2p_w48_28e', 47.0, 41.0),
    ('fcos_hrnetv2p_w32_gn_2x_4gpu', 40.3, None),
    ('faster_rcnn_hrnetv2p_w18_syncbn_randresizecrop_2x', 39.7, None),
    ('mask-rcnn_hrnetv2p-w40-2x_coco', 42.8, 38.2),
])  # fmt: skip
def test_some_rows(name, box, mask):
    assert (zoo.MODELS[name].box_ap, zoo.MODELS[name].mask_ap) == (box, mask)


def test_every_config_is_in_the_tree():
    for model in zoo.MODELS.values():
        assert model.config_file().is_file()


def test_addresses_name_the_same_model():
    """Kind, width and schedule of name and file agree; no file is linked twice."""
    urls = [model.url for model in zoo.MODELS.values() if model.url]
    assert len(set(urls)) == len(urls) == len(zoo.MODELS) - 2
    for name, model in zoo.MODELS.items():
        if model.task != 'detection' or not model.url or '1drv.ms' in model.url:
            continue
        assert re.fullmatch(r'https://\S+-[0-9a-f]{8}\.pth', model.url)
        file = model.url.rpartition('/')[2].replace('20_23_24e', '2x').replace('-', '_')
        kind, width = re.match(r'(.+?)_hrnetv2p_w(\d+)', name.replace('-', '_')).groups()
        assert re.match(rf'{kind}_hrnetv2p?_w{width}_', file)
        schedule = re.search(r'[12]x|20e|28e', name)[0]
        assert f'_{schedule}_' in file
        assert ('mstrain' in name or '_ms-' in name) == ('mstrain' in file)


@pytest.mark.parametrize('file', [LINKED, f'{NAME}.pth'])
def test_a_cached_file_is_found(cache, file):
    (cache / file).touch()
    config, checkpoint = zoo.resolve(NAME)
    assert config.name == f'{NAME}.py'
    assert checkpoint == NAME
    assert find(checkpoint) == cache / file


def test_a_given_file_wins(cache):
    (cache / LINKED).touch()
    assert zoo.resolve(NAME, 'mine.pth')[1] == 'mine.pth'


def test_init_detector_goes_by_name(cache, monkeypatch):
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    url = zoo.MODELS[NAME].url
    with pytest.raises(FileNotFoundError, match=re.escape(f'{cache / LINKED}: not there')) as error:
        init_detector(NAME)
    assert url in str(error.value)


def test_a_model_without_file_says_so(cache):
    with pytest.raises(FileNotFoundError, match=r'prints its AP but links no file'):
        find(WITHOUT_FILE)
    (cache / f'{WITHOUT_FILE}.pth').touch()
    assert find(WITHOUT_FILE) == cache / f'{WITHOUT_FILE}.pth'


def test_the_rows_of_mmpretrain(reference_dir):
    rows = json.loads((reference_dir / 'manifests/tasks/cls_zoo.json').read_text())
    ours = [model for model in zoo.MODELS.values() if model.task == 'classification']
    assert [model.name for model in ours] == [row['model'] for row in rows]
    for model, row in zip(ours, rows):
        assert model.url == row['checkpoint']
        assert model.config == f'hrnet/{row["config"]}.py'
        assert model.figures == {k: row[k] for k in ('params_m', 'flops_g', 'top1', 'top5')}
        assert zoo.named(row['config']).config == model.config
    assert zoo.named('hrnet-w18_4xb32_in1k').figures['top1'] == 76.75


def test_the_rows_of_mmsegmentation(reference_dir):
    rows = json.loads((reference_dir / 'manifests/tasks/seg_zoo.json').read_text())
    ours = [model for model in zoo.MODELS.values() if model.task == 'segmentation']
    assert [model.name for model in ours] == [row['config'] for row in rows]
    for model, row in zip(ours, rows):
        assert model.url == row['checkpoint']
        assert zoo.named(row['config_1x']) is model
        figures = dict(mem_gb=row['mem_gb'], fps=row['fps'], miou=row['mIoU'],
                       miou_ms_flip=row['mIoU_ms_flip'])  # fmt: skip
        assert model.figures == {k: float(v) for k, v in figures.items() if v != '-'}


@pytest.mark.parametrize('name', ['faster_rcnn_hrnetv2p_w18_1x_coco',
                                  'fcos_hrnetv2p_w18_gn-head_4x4_1x_coco'])  # fmt: skip
def test_names_of_mmdetection_2_are_those_of_its_models(name):
    model = zoo.named(name)
    assert model.config.startswith('hrnet/continuous/')
    assert name in model.url


def test_another_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match=rf"did you mean '{NAME}'"):
        zoo.resolve('faster_rcnn_hrnetv2_w18_1x')


@pytest.mark.parametrize('folder', ['hrnet', 'camvid'])
def test_configs_without_published_weights_have_names_too(folder):
    for file in (CONFIGS / folder).glob('*.py'):
        if zoo.named(file.stem) is None:
            assert zoo.resolve(file.stem) == (file, None)
            assert zoo.resolve(file.stem, 'x.pth') == (file, 'x.pth')


@pytest.mark.parametrize('config', ['a/b', 'a.py', 'configs/hrnet/x.py', {'model': {}}, None])
def test_what_is_no_name_passes(config):
    assert zoo.resolve(config, 'x.pth') == (config, 'x.pth')


def test_a_file_of_that_name_passes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).touch()
    assert zoo.resolve(NAME) == (NAME, None)


def test_an_installed_package_holds_the_configs(tmp_path, monkeypatch):
    package = tmp_path / 'site-packages' / 'hrdet'
    monkeypatch.setattr(zoo, '_CONFIGS', (tmp_path / 'configs', package / '_share' / 'configs'))
    with pytest.raises(ConfigError, match=r'install hrdet again, or give the path'):
        zoo.resolve(NAME, 'x.pth')
    file = tmp_path / 'site-packages/hrdet/_share/configs/hrnet' / f'{NAME}.py'
    file.parent.mkdir(parents=True)
    file.touch()
    assert zoo.resolve(NAME, 'x.pth')[0] == file


def test_without_hrdet_home_the_folder_is_that_of_torch_hub(tmp_path, monkeypatch):
    monkeypatch.delenv('HRDET_HOME')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    assert zoo.cache_folder() == tmp_path / 'torch/hub/checkpoints'


def test_the_earlier_place_still_imports():
    from hrdet.models.zoo import MODELS

    assert MODELS is zoo.MODELS
    assert zoo.MODELS[NAME].figures == {'box_ap': 36.1}
