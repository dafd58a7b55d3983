"""The command that runs a model on image files."""

import importlib.util
import json

import cv2
import numpy as np
import pytest
import torch

from hrdet import apis, inference
from hrdet.command_line import speed_options
from hrdet.registry import ConfigError
from hrdet.structures import ClassScores, Detections, LabelMap

MODEL = 'faster_rcnn_hrnetv2p_w18_1x'


@pytest.fixture(scope='module')
def tool(pytestconfig):
    path = pytestconfig.rootpath / 'tools' / 'infer.py'
    spec = importlib.util.spec_from_file_location('infer', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photos(tmp_path):
    for name in ('a.jpg', 'a.png', 'deep/er/a.JPG', 'deep/b.bmp', 'other/a.png'):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode('.png', np.zeros((60, 80, 3), np.uint8))[1].tobytes())
    (tmp_path / 'photos' / 'notes.txt').write_text('no picture')
    return tmp_path / 'photos'


def test_pictures_and_one_json(tool, photos, monkeypatch, capsys):
    """Everything but the detector, which has tests of its own."""
    (photos / 'bad.jpg').write_text('not a picture')
    one = Detections(
        np.array([[10, 10, 30, 40], [1, 2, 3, 4.0]]), np.array([0.9, 0.1]), np.array([1, 0])
    )
    model = type('Model', (), {'classes': ('ant', 'bee'), 'palette': None, 'task': 'detection'})()
    asked = {}

    def init_model(*arguments):
        asked['init'] = arguments
        return model

    def predict_images(model, images, batch_size, tiling):
        asked.setdefault('batches', []).append(len(images))
        return [one] * len(images)

    monkeypatch.setattr(apis, 'init_model', init_model)
    monkeypatch.setattr(inference, 'predict_images', predict_images)
    out = photos.parent / 'out'
    status = tool.main(
        ['c.py', 'w.pth', str(photos), '--out-dir', str(out), '--batch-size', '4', '--device',
         'cpu', '--cfg-options', 'test_cfg.rcnn.score_thr=0.01']
    )  # fmt: skip
    assert status == 1
    assert 'bad.jpg: not an image' in capsys.readouterr().err
    speed = dict(dtype=torch.float32, graph=False, compile=False)
    assert asked['init'] == ('c.py', 'w.pth', 'cpu', {'test_cfg.rcnn.score_thr': 0.01}, speed)
    assert asked['batches'] == [4, 1]  # without the broken one
    pictures = sorted(str(p.relative_to(out)) for p in out.rglob('*.jpg'))
    assert pictures == ['a.jpg', 'a_2.jpg', 'deep/b.jpg', 'deep/er/a.jpg', 'other/a.jpg']
    assert cv2.imread(str(out / 'a.jpg')).any()
    content = json.loads((out / 'detections.json').read_text())
    assert [c['name'] for c in content['categories']] == ['ant', 'bee']
    assert len(content['images']) == 5
    assert len(content['annotations']) == 10
    first = content['annotations'][0]
    assert first['bbox'] == [10, 10, 20, 30]
    assert (first['id'], first['image_id'], first['category_id'], first['area']) == (1, 1, 2, 600)


@pytest.mark.parametrize(
    ('result', 'written', 'names'),
    [
        (
            ClassScores(np.array([0.25, 0.75], np.float32)),
            '3 pictures and predictions.json in',
            ['predictions.json'],
        ),
        (
            LabelMap(np.tile(np.uint8([[0], [1]]), (30, 80)), palette=((9, 8, 7), (1, 2, 3))),
            '3 pictures and label_maps/ in',
            [
                'label_maps/b.png',
                'label_maps/classes.txt',
                'label_maps/er/a.png',
                'label_maps/x.png',
            ],
        ),
    ],
)
def test_results_of_other_tasks(tool, photos, monkeypatch, capsys, result, written, names):
    (photos / 'a.png').rename(photos / 'deep/x.png')
    model = type('Model', (), {'classes': ('ant', 'bee'), 'palette': None, 'task': 'detection'})()
    monkeypatch.setattr(apis, 'init_model', lambda *_: model)
    monkeypatch.setattr(inference, 'predict_images', lambda _, images, *__: [result] * len(images))
    out = photos.parent / 'out'
    assert tool.main(['c.py', 'w.pth', str(photos / 'deep'), '--out-dir', str(out)]) == 0
    assert f'{written} {out}' in capsys.readouterr().out
    files = [p.relative_to(out).as_posix() for p in out.rglob('*') if p.is_file()]
    assert sorted(files) == sorted([*names, 'b.jpg', 'er/a.jpg', 'x.jpg'])
    if 'predictions.json' in names:
        entries = json.loads((out / 'predictions.json').read_text())
        assert [entry['pred_class'] for entry in entries] == ['bee'] * 3
        assert entries[0]['path'] == str(photos / 'deep/b.bmp')


def test_no_folder_for_no_pictures(tool, photos, monkeypatch, capsys):
    """Of files that begin as images do, and are none."""
    (photos / 'cut.jpg').write_bytes(cv2.imencode('.jpg', np.zeros((60, 80, 3), np.uint8))[1][:99])
    model = type('Model', (), {'classes': ('ant', 'bee'), 'palette': None, 'task': 'detection'})()
    monkeypatch.setattr(apis, 'init_model', lambda *_: model)
    monkeypatch.setattr(inference, 'predict_images', lambda *_: [])
    out = photos.parent / 'out'
    assert tool.main(['c.py', 'w.pth', str(photos / 'cut.jpg'), '--out_dir', str(out)]) == 1
    told = capsys.readouterr()
    assert 'cut.jpg: the JPEG is cut off' in told.err
    assert told.out == ''
    assert not out.exists()


@pytest.mark.parametrize('stop', [KeyboardInterrupt, OSError(28, 'No space left on device')])
def test_what_is_done_is_kept(tool, photos, monkeypatch, stop):
    """Ctrl-C, or a full disk, at the second image."""
    calls = []

    def predict(model, images, batch_size, tiling):
        calls.append(images)
        if len(calls) == 2:
            raise stop
        none = np.zeros((0, 4), np.float32)
        return [Detections(none, none[:, 0], none[:, 0].astype(np.int64))]

    monkeypatch.setattr(
        apis,
        'init_model',
        lambda *_: type('Model', (), dict(classes=('a',), palette=None, task='detection')),
    )
    monkeypatch.setattr(inference, 'predict_images', predict)
    out = photos.parent / 'out'
    with pytest.raises(SystemExit) as caught:
        tool.main(['c.py', 'w.pth', str(photos / 'deep'), '--out-dir', str(out)])
    assert (
        caught.value.code == 130 if stop is KeyboardInterrupt else 'No space' in caught.value.code
    )
    assert len(json.loads((out / 'detections.json').read_text())['images']) == 1


def test_what_else_can_be_written(tool, photos, monkeypatch, capsys):
    """YOLO labels and crops of what reaches the threshold, no pictures; tiles are asked for."""
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[10:40, 10:30] = 200
    cv2.imwrite(str(photos / 'a.png'), pixels)
    one = Detections(
        np.array([[10, 10, 30, 40], [1, 2, 3, 4.0]]), np.array([0.9, 0.1]), np.array([1, 0])
    )
    model = type('Model', (), {'classes': ('ant', 'a/b'), 'palette': None, 'task': 'detection'})()
    asked = []

    def predict_images(model, images, batch_size, tiling):
        asked.append(tiling)
        return [one] * len(images)

    monkeypatch.setattr(apis, 'init_model', lambda *_: model)
    monkeypatch.setattr(inference, 'predict_images', predict_images)
    out = photos.parent / 'out'
    options = ['--save-txt', '--save-crops', '--no-pictures', '--tile', '64', '--overlap', '0.5']
    command = ['c.py', 'w.pth', str(photos / 'a.png'), '--out-dir', str(out), *options]
    assert tool.main(command) == 0
    assert f'detections.json, labels/ and 1 crop in {out}; ' in capsys.readouterr().out
    assert asked == [(64, 0.5)]
    (line,) = (out / 'labels/a.txt').read_text().splitlines()
    assert line == '1 0.250000 0.416667 0.250000 0.500000 0.900000'
    assert sorted(p.name for p in out.iterdir()) == ['crops', 'detections.json', 'labels']
    crop = cv2.imread(str(out / 'crops/a_b/a_0.jpg'))
    assert crop.shape == (30, 20, 3)
    assert crop.min() > 190
    assert tool.main([*command, '--classes', 'ant']) == 0
    assert (out / 'labels/a.txt').read_text() == ''
    model.task = 'classification'
    with pytest.raises(SystemExit, match='--save-txt and --save-crops are for detectors'):
        tool.main(command)


def test_videos(tool, photos, monkeypatch, capsys):
    """An annotated video, the frames by number in the file of results, and a bad one in between."""
    writer = cv2.VideoWriter(str(photos / 'v.mp4'), cv2.VideoWriter.fourcc(*'mp4v'), 10, (480, 360))
    for _ in range(5):
        writer.write(np.full((360, 480, 3), 90, np.uint8))
    writer.release()
    (photos / 'bad.mp4').write_bytes((photos / 'v.mp4').read_bytes()[:500])
    one = Detections(np.array([[10, 10, 300, 300.0]]), np.array([0.9]), np.array([1]))
    model = type('Model', (), {'classes': ('ant', 'bee'), 'palette': None, 'task': 'detection'})()
    monkeypatch.setattr(apis, 'init_model', lambda *_: model)
    monkeypatch.setattr(inference, 'predict_images', lambda _, images, *__: [one] * len(images))
    out = photos.parent / 'out'
    inputs = [str(photos / name) for name in ('bad.mp4', 'v.mp4', 'a.png')]
    command = ['c.py', 'w.pth', *inputs, '--out-dir', str(out), '--batch-size', '2']
    assert tool.main(command) == 1
    printed = capsys.readouterr()
    summary = f'1 picture, v.mp4 and detections.json in {out}; 6 objects of score 0.3 or more; '
    assert summary in printed.out
    assert printed.err.splitlines() == [
        f'error: {photos}/bad.mp4: OpenCV cannot read it as a video'
    ]
    content = json.loads((out / 'detections.json').read_text())
    names = [image['file_name'].removeprefix(f'{photos}/') for image in content['images']]
    assert names == ['v.mp4#0', 'v.mp4#1', 'v.mp4#2', 'v.mp4#3', 'v.mp4#4', 'a.png']
    capture = cv2.VideoCapture(str(out / 'v.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    frames = [capture.read() for _ in range(6)]
    assert [read for read, _ in frames] == [True] * 5 + [False]
    assert frames[0][1].shape == (360, 480, 3)
    assert np.ptp(frames[0][1].astype(int)) > 100  # something is drawn
    assert tool.main([*command[:2], inputs[1], *command[5:], '--max-frames', '2']) == 0
    assert len(json.loads((out / 'detections.json').read_text())['images']) == 2


def test_batches_have_a_size(tool, photos, capsys):
    for size in ('0', '-1', 'x'):
        with pytest.raises(SystemExit):
            tool.main(['c.py', 'w.pth', str(photos), '--batch-size', size])
        assert 'integer of 1 or more' in capsys.readouterr().err


def test_mistakes_end_with_a_message(tool, photos):
    with pytest.raises(SystemExit, match=r'error: .*gone'):
        tool.main(['c.py', 'w.pth', 'gone'])
    with pytest.raises(SystemExit, match='error: '):
        tool.main(['no_config.py', 'w.pth', str(photos)])


def test_speed_options(tool):
    args = tool.parse_args(['c.py', 'w.pth', 'in', '--dtype', 'bfloat16', '--graph', '64'])
    assert speed_options(args) == dict(dtype=torch.bfloat16, graph=64, compile=False)
    args = tool.parse_args(['c.py', 'w.pth', 'in', '--no-optimize'])
    assert speed_options(args) is None
    args = tool.parse_args(['c.py', 'w.pth', 'in', '--no-optimize', '--compile'])
    with pytest.raises(ConfigError, match='--no-optimize excludes'):
        speed_options(args)


@pytest.mark.parametrize(
    ('words', 'checkpoint', 'inputs'),
    [
        ('mine.py model.bin a.jpg', 'model.bin', ['a.jpg']),
        ('mine.py model.pth --tile 9 a.jpg b.jpg', 'model.pth', ['a.jpg', 'b.jpg']),
        (f'{MODEL} a.jpg', None, ['a.jpg']),
        (f'{MODEL} --no-pictures photos/ 0', None, ['photos/', '0']),
        (f'{MODEL} https://host/a.jpg', None, ['https://host/a.jpg']),
        (f'{MODEL} https://host/b.pth?x=1 a.jpg', 'https://host/b.pth?x=1', ['a.jpg']),
        (f'{MODEL} {MODEL} a.jpg', MODEL, ['a.jpg']),
    ],
)
def test_a_published_model_needs_no_checkpoint(tool, words, checkpoint, inputs):
    args = tool.parse_args(words.split())
    assert (args.checkpoint, args.inputs) == (checkpoint, inputs)


def test_a_config_needs_a_checkpoint(tool, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(['mine.py', 'a.jpg'])
    assert 'there is no INPUT after the checkpoint a.jpg' in capsys.readouterr().err


def test_published_weights_that_cannot_be_had(command, tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_OFFLINE', '1')
    monkeypatch.setenv('HRDET_HOME', str(tmp_path))
    cv2.imwrite(str(tmp_path / 'a.jpg'), np.zeros((8, 8, 3), np.uint8))
    message = command('infer', MODEL, tmp_path / 'a.jpg')
    assert 'not there, and HRDET_OFFLINE is set: fetch https://' in message
    assert len(message.splitlines()) == 1
