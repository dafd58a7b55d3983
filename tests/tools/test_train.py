"""tools/train.py with classifiers and segmentors: what it leaves, and what it checks first."""

import json
import shutil

import cv2
import numpy as np
import pytest

from hrdet import init_model, train
from hrdet.checkpoints import read_checkpoint
from hrdet.registry import ConfigError


def test_a_run_of_each_task(command, task, tmp_path):
    printed = command('train', task.config, '--gpus', 0, '--work-dir', tmp_path / 'work')
    assert 'trained to the end' in printed
    entries = list(map(json.loads, (tmp_path / 'work/log.jsonl').open()))
    (validated,) = (entry for entry in entries if entry['mode'] == 'val')
    assert {'top1', 'mIoU'} & set(validated)
    assert (tmp_path / 'work/curves.png').is_file()
    meta = read_checkpoint(tmp_path / 'work/model_final.pth')['meta']
    assert meta['classes'] == list(task.data.classes)


@pytest.fixture
def train_on(command, segmentation, tmp_path):
    """Trains with label maps of one part of the data after ``change`` was made to each of them."""

    def run(part, change):
        folder = tmp_path / 'labels'
        shutil.copytree(segmentation.data.map_path(0).rpartition('/')[0], folder)
        for number, path in enumerate(sorted(folder.iterdir())):
            cv2.imwrite(str(path), change(number, cv2.imread(str(path), -1)))
        options = ('--work-dir', tmp_path / 'work', '--cfg-options')
        changed = f'{part}.dataset.ann_dir={folder}'
        return command('train', segmentation.config, '--gpus', 0, *options, changed)

    return run


@pytest.mark.parametrize('part', ['train', 'val'])
def test_a_label_that_is_no_class_ends_before_training(train_on, tmp_path, part):
    def change(number, labels):
        if number == 3:
            labels[5, 7] = 200
        return labels

    printed = train_on(part, change)
    assert printed.startswith('error: label 200 in ')
    assert '000004.png (1 pixels)' in printed
    assert not (tmp_path / 'work/log.jsonl').exists()


def test_a_doubt_about_the_labels_is_one_line(train_on):
    printed = train_on('train', lambda _, labels: np.where(labels > 3, 255, 0).astype(np.uint8))
    (line,) = (line for line in printed.splitlines() if '0 and 255 only' in line)
    assert '/labels: ' in line  # the folder
    assert 'WARNING ' in line
    assert '255 is ignored, and your second class' in line
    assert 'errors.py' not in printed
    assert 'trained to the end' in printed


def test_from_python(classification, tmp_path):
    """``train`` leaves what the command leaves; a second call finds nothing left to do."""
    options = dict(device='cpu', work_dir=str(tmp_path), seed=1)
    run = train(classification.config, **options, **{'training.max_epochs': 2})
    assert run.complete
    assert run.work_dir == tmp_path
    assert run.metrics['top1'] == run.history[-1]['top1']
    assert [entry['epoch'] for entry in run.history if entry['mode'] == 'val'] == [1, 2]
    assert run.checkpoint == run.best == tmp_path / 'best_top1.pth'
    assert read_checkpoint(run.final)['meta']['seed'] == 1
    model = init_model(run.config, run.checkpoint, 'cpu')
    assert model.classes == tuple(classification.data.classes)
    again = train(classification.config, **options, **{'training.max_epochs': 2})
    assert again.metrics == run.metrics


def test_mistakes_from_python(classification, tmp_path):
    with pytest.raises(ConfigError, match='did you mean'):
        train(classification.config, device='cpu', work_dir=str(tmp_path), trainin={})
