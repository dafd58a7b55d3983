"""Trackers: a log on lines of its own, torn lines, full disks, and trackers that raise."""

import json
import logging
import resource

import numpy as np
import pytest
import torch

from hrdet.data import ImageDataset
from hrdet.registry import register
from hrdet.structures import ClassLabel, ClassScores, ImageMeta, LabelMap, SegmentationMap
from hrdet.tracking import JsonLines, SamplePictures, Tracker, Trackers, build_trackers
from hrdet.visualize.curves import read_log
from tests.engine import toy_run
from tests.engine.test_resume import evaluations, losses


class Raises(Tracker):
    """Fails at everything."""

    def log(self, entry):
        raise ConnectionError('no route to host')

    picture = close = log


def test_a_tracker_that_raises_stops_nothing(tmp_path):
    assert toy_run.trainer(tmp_path, trackers=[Raises()]).run() == 0
    assert len(evaluations(tmp_path)) == 2
    log = (tmp_path / 'train.log').read_text()
    assert log.count('Raises: ConnectionError: no route to host') == 1


@pytest.mark.parametrize('end', ['', '\n'])
def test_a_torn_line_is_set_aside_and_training_ends_well(tmp_path, end):
    """What a full disk leaves: the last line stops in the middle."""
    torn = '{"mode": "train", "epoch": 1, "iter": 12, "step": 12, "lr": 0.0001, "lo'
    (tmp_path / 'log.jsonl').write_text(torn + end)
    for _ in range(2):
        assert toy_run.trainer(tmp_path).run() == 0
    assert (tmp_path / 'model_final.pth').is_file()
    if not end:
        assert (tmp_path / 'log.jsonl.torn').read_text() == torn + '\n'
        train, *_ = read_log(tmp_path / 'log.jsonl')
        assert [entry['step'] for entry in train] == [2, 4, 5, 7, 9, 10]


def test_a_line_is_written_whole_or_not_at_all(tmp_path):
    """The system takes a part of a line, and has room again later."""
    log = JsonLines(str(tmp_path))
    log.log(dict(mode='train', step=1))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 5, limit[1]))
    try:
        with pytest.raises(OSError, match='full'):
            log.log(dict(mode='train', step=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    log.log(dict(mode='train', step=3))
    lines = (tmp_path / 'log.jsonl').read_text().splitlines()
    assert [json.loads(line)['step'] for line in lines] == [1, 3]


def test_a_log_that_cannot_be_written_is_one_warning(tmp_path):
    (tmp_path / 'log.jsonl').mkdir()
    assert toy_run.trainer(tmp_path).run() == 0
    assert (tmp_path / 'train.log').read_text().count('JsonLines: IsADirectoryError') == 1


def test_a_text_log_that_cannot_be_written_is_one_warning(tmp_path, capsys):
    (tmp_path / 'train.log').mkdir()
    assert toy_run.trainer(tmp_path).run() == 0
    assert capsys.readouterr().out.count('train.log: cannot be written') == 1
    assert len(losses(tmp_path)) == 6


ONES = torch.ones(60, 80, dtype=torch.uint8)


class Pictures(Tracker):
    """Keeps what it is shown."""

    def __init__(self):
        self.shown = []

    def log(self, entry):
        pass

    def picture(self, name, image, step):
        self.shown.append((name, image.shape, step))


def test_sample_pictures(tmp_path, monkeypatch):
    """Of every evaluation the first four images."""
    for name, value in dict(
        palette=None, truth=lambda *_: None, image=lambda *_: np.zeros((60, 80, 3), np.uint8)
    ).items():
        monkeypatch.setattr(toy_run.Noise, name, value, raising=False)
    tracker = Pictures()
    toy_run.trainer(tmp_path, trackers=[tracker]).run()
    assert [(name, step) for name, _, step in tracker.shown] == [
        (f'val/image_{i}', step) for step in (5, 10) for i in range(4)
    ]
    assert not Trackers(tmp_path).show_pictures


@pytest.mark.parametrize(
    ('result', 'truth'),
    [
        (ClassScores(torch.tensor([0.2, 0.8])), ClassLabel(0)),
        (
            LabelMap(torch.ones(60, 80, dtype=torch.uint8)),
            SegmentationMap(np.zeros((60, 80), 'u1')),
        ),
        (LabelMap(torch.ones(60, 80, dtype=torch.uint8)), None),
    ],
)
def test_sample_pictures_of_other_tasks(tmp_path, result, truth):
    """Compared with the truth where there is one."""

    class Data(ImageDataset):
        classes = ('dark', 'light')

        def image(self, index):
            return np.zeros((60, 80, 3), np.uint8)

        def truth(self, index):
            return truth

    tracker = Pictures()
    pictures = SamplePictures(Trackers(tmp_path, [tracker]), Data(), 7, count=1)
    for _ in range(2):
        pictures.update(ImageMeta('a.jpg', 0, (60, 80), (60, 80), (60, 80)), result)
    ((name, shape, step),) = tracker.shown
    assert (name, step) == ('val/a', 7)
    beside = isinstance(truth, SegmentationMap)
    assert (shape[1] > 960) == beside
    assert shape[0] > 360  # with the legend


def test_a_tracker_without_its_package_is_a_warning(tmp_path, caplog):
    @register('NeedsAPackage')
    class NeedsAPackage(Tracker):
        def __init__(self, work_dir):
            import a_package_that_is_not_there  # noqa: F401

    logger = logging.getLogger('hrdet')
    logger.addHandler(caplog.handler)
    nodes = [dict(type='NeedsAPackage')]
    assert build_trackers(nodes, tmp_path) == []
    assert 'pip install a_package_that_is_not_there' in caplog.text


def test_tensorboard_files(tmp_path):
    pytest.importorskip('tensorboard')
    nodes = [dict(type='TensorBoard')]
    trackers = build_trackers(nodes, tmp_path)
    toy_run.trainer(tmp_path, trackers=trackers).run()
    assert list((tmp_path / 'tensorboard').glob('events*'))
