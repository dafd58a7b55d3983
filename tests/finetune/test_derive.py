"""The config of a published model for data of one's own."""

import json
from pathlib import Path

import pytest
import torch

import hrdet.evaluation
import hrdet.tracking  # noqa: F401
from hrdet import zoo
from hrdet.config import load_config, lower
from hrdet.data import DataError, DataWarning
from hrdet.finetune import config_for, derive
from hrdet.models import build_model
from hrdet.registry import ConfigError, build

QUICKSTART = Path(__file__).resolve().parents[2] / 'configs/quickstart'


@pytest.fixture
def config(tmp_path):
    """Derives a config, and reads it; returns what was told, too."""

    def make(name, path, **options):
        told = []
        file = tmp_path / 'derived.py'
        file.write_text(derive(str(name), str(path), tell=told.append, force_cpu=True, **options))
        return lower(load_config(file)).check(), told

    return make


def test_a_detector(config, yolo):
    run, told = config('faster_rcnn_hrnetv2p_w18_1x', yolo(train=40, val=5, size=(300, 400)))
    # 1. Images are not enlarged, and heads take the classes of the data.
    steps = run.train['dataset']['transforms']
    assert steps[0]['scales'] == [(400, 300)]
    assert run.val['dataset']['transforms'][0]['scales'] == [(400, 300)]
    assert run.model['roi_head']['bbox_head']['num_classes'] is None
    assert run.train['dataset']['classes'] == ('cat', 'dog')
    # 2. Nothing is cached, and nothing may be downloaded: frozen norms would stay random.
    assert run.model['backbone']['norm_eval'] is False
    assert (run.runtime.load_from, run.runtime.pretrained) == (None, None)
    assert any('random weights, with norms that are learned' in line for line in told)
    # 3. A schedule for 40 images, that ends with a validation.
    training = run.training
    assert training.max_epochs == 200
    assert training.max_epochs % training.val_interval == 0
    assert training.checkpoint == dict(interval=10, max_keep=2)
    steps = 40 // run.train['batch_size']
    warm_up, cosine = training.schedule
    assert 0 < warm_up['end'] <= 0.2 * training.max_epochs * steps
    assert cosine['end'] == training.max_epochs
    assert run.runtime.work_dir == './work_dirs/faster_rcnn_hrnetv2p_w18_1x_beasts'


def test_large_images_keep_the_published_size(config, yolo):
    run, _ = config('faster_rcnn_hrnetv2p_w18_1x', yolo(train=4, val=1, size=(900, 1500)))
    assert run.train['dataset']['transforms'][0]['scales'] == [(1333, 800)]


def test_published_weights_are_fine_tuned(config, yolo):
    url = zoo.MODELS['faster_rcnn_hrnetv2p_w18_1x'].url
    file = zoo.cache_folder() / url.rsplit('/', 1)[1]
    file.parent.mkdir()
    file.touch()
    run, told = config('faster_rcnn_hrnetv2p_w18_1x', yolo(train=40, val=5))
    assert run.runtime.load_from == 'faster_rcnn_hrnetv2p_w18_1x'
    assert 'norm_eval' not in run.model['backbone']
    assert run.training.max_epochs == 100
    assert run.training.optimizer['lr'] == pytest.approx(0.01)
    assert 'starts from the published weights faster_rcnn_hrnetv2p_w18_1x' in told


def test_epochs_that_are_asked_for(config, yolo):
    run, told = config('faster_rcnn_hrnetv2p_w18_1x', yolo(train=42, val=5), batch=4, epochs=7)
    assert (run.training.max_epochs, run.training.val_interval) == (7, 1)
    assert [part['end'] for part in run.training.schedule] == [7, 7]  # of 77 iterations; of 7
    assert any(line.startswith('7 epochs of 11 iterations, the first 7 ') for line in told)


def test_a_segmentor(config, label_maps):
    run, _ = config('fcn_hr18s_512x1024_40k_cityscapes', label_maps())
    steps = {step['type']: step for step in run.train['dataset']['transforms']}
    assert steps['RandomResize']['scale'] == (100, 64)
    assert steps['SegRandomCrop']['crop_size'] == (64, 96)
    assert steps['PadToSize']['size'] == (64, 96)
    assert run.model['decode_head']['num_classes'] is None
    assert 'tta' not in run.test
    assert (run.training.max_iters, run.training.max_epochs) == (None, 200)


def test_a_classifier(config, class_folders):
    run, _ = config('hrnet-w18_3rdparty_8xb32_in1k', class_folders())
    assert run.val['evaluator']['topk'] == (1,)
    steps = {step['type']: step for step in run.val['dataset']['transforms']}
    assert steps['CenterCrop']['crop_size'] < 224
    assert run.model['head']['num_classes'] is None
    assert run.train['batch_size'] == 2


@pytest.mark.parametrize(
    ('name', 'fixture', 'error', 'message'),
    [
        ('hrnet-w18_3rdparty_8xb32_in1k', 'label_maps', ConfigError, 'is fcn_hr18s_512x1024_40k'),
        ('faster_rcnn_hrnetv2p_w18_1x', 'class_folders', ConfigError, 'is hrnet-w18_3rdparty'),
        ('fcn_hr18s_512x1024_40k_cityscapes', 'yolo', ConfigError, 'is faster_rcnn_hrnetv2p'),
        ('htc_hrnetv2p_w18_20e', 'yolo', DataError, 'learns masks, but 4 of the'),
        ('mask_rcnn_hrnetv2p_w18_1x', 'yolo', DataError, 'learns masks, but 4 of the'),
        ('faster_rcnn_hrnetv2p_w19_1x', 'yolo', ConfigError, 'did you mean'),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(name, fixture, error, message, request):
    arguments = dict(train=4, val=2) if fixture == 'yolo' else {}
    path = request.getfixturevalue(fixture)(**arguments)
    with pytest.raises(error, match=message):
        derive(name, str(path), tell=lambda line: None)


def test_htc_without_its_semantic_branch(config, yolo):
    root = yolo(train=4, val=2)
    for labels in Path(root).rglob('*.txt'):
        labels.write_text('0 0.2 0.2 0.8 0.2 0.5 0.8\n')
    run, told = config('htc_hrnetv2p_w18_20e', root)
    assert any(line.startswith('without the semantic branch') for line in told)
    assert 'SegRescale' not in [step['type'] for step in run.train['dataset']['transforms']]
    assert build(run.train['dataset'])[0].truth.semantic is None
    with torch.device('meta'):
        model = build_model(run, ('cat',))
    assert not [name for name in model.state_dict() if 'semantic' in name]


def test_the_batch_that_is_asked_for(config, yolo):
    run, told = config('faster_rcnn_hrnetv2p_w18_1x', yolo(train=40, val=5), batch=5)
    assert run.train['batch_size'] == 5
    assert not any('docs/results/memory.md' in line for line in told)


def test_bad_images_are_left_out_on_demand(config, yolo):
    root = Path(yolo(train=4, val=2))
    (root / 'images/train/train1.jpg').write_bytes(b'')
    name = 'faster_rcnn_hrnetv2p_w18_1x'
    with pytest.raises(DataError, match=r'train1\.jpg: not an image'):
        config(name, root)
    with pytest.warns(DataWarning, match=r'train1\.jpg: not an image'):
        run, told = config(name, root, on_bad_image='skip')
    assert "1 image left out (on_bad_image='skip')" in told
    assert run.runtime.on_bad_image == 'skip'
    assert build(run.train['dataset']).image_ids == [1, 2, 3]


def test_a_file_that_may_be_edited_is_kept(yolo):
    told = []
    path = yolo(train=4, val=2)
    file = config_for('faster_rcnn_hrnetv2p_w18_1x', path, tell=told.append)
    assert file == Path('work_dirs/faster_rcnn_hrnetv2p_w18_1x_beasts.py')
    text = file.read_text().replace('max_epochs=200', 'max_epochs=1')
    file.write_text(text)
    assert config_for('faster_rcnn_hrnetv2p_w18_1x', path, tell=told.append) == file
    assert file.read_text() == text
    assert 'taken as it is, with 2 images a batch and 1 epoch;' in told[-1]
    assert config_for('faster_rcnn_hrnetv2p_w18_1x', path, batch=2, epochs=1) == file
    for asked, text in ((dict(epochs=20), '2 and 20'), (dict(batch=4), '4 and 1')):
        with pytest.raises(ConfigError, match=f'2 images a batch and 1 epoch, not {text} as'):
            config_for('faster_rcnn_hrnetv2p_w18_1x', path, **asked)


def test_the_model_is_built_for_the_classes(config, yolo):
    name = QUICKSTART / 'faster_rcnn_hrnetv2p_w18_small.py'
    run, _ = config(name, yolo(train=2, val=1, names=('cat',)))
    model = build_model(run, ('cat',))
    assert model.roi_head.bbox_head.fc_cls.out_features == 2
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in model.modules())


def test_the_commands(yolo, monkeypatch, capsys):
    """One epoch of training from a folder, and the same config printed."""
    import runpy
    import sys

    root = yolo(train=4, val=2, size=(64, 96))
    name = str(QUICKSTART / 'faster_rcnn_hrnetv2p_w18_small.py')
    tools = QUICKSTART.parents[1] / 'tools'

    def command(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [tool, *arguments])
        runpy.run_path(str(tools / tool), run_name='__main__')
        return capsys.readouterr()

    shown = command('print_config.py', name, '--data', root, '--batch', '2')
    assert shown.out.startswith(f'# {name} --data {root}\n')
    assert 'taken for YOLO' in shown.err
    options = ['training.max_epochs=1', 'train.num_workers=0', 'val.num_workers=0']
    options = ['--batch', '2', '--gpus', '0', '--cfg-options', *options]
    command('train.py', name, '--data', root, *options)
    work = Path('work_dirs/faster_rcnn_hrnetv2p_w18_small_beasts')
    assert work.with_suffix('.py').read_text() == shown.out
    lines = [json.loads(line) for line in (work / 'log.jsonl').read_text().splitlines()]
    assert any('bbox_AP' in str(line) for line in lines)
    assert (work / 'model_final.pth').is_file()


def test_imagenet_weights_are_the_second_choice(config, yolo):
    file = zoo.cache_folder() / zoo.NICKNAMES['open-mmlab://msra/hrnetv2_w18'].rsplit('/', 1)[1]
    file.parent.mkdir()
    file.touch()
    run, told = config('faster_rcnn_hrnetv2p_w18_1x', yolo(train=4, val=2))
    assert run.runtime.pretrained == 'open-mmlab://msra/hrnetv2_w18'
    assert run.runtime.load_from is None
    assert 'norm_eval' not in run.model['backbone']
    assert run.training.optimizer['lr'] == pytest.approx(0.02)
    assert 'starts from ImageNet weights open-mmlab://msra/hrnetv2_w18' in told
