"""tools/train.py and tools/test.py as commands, on generated images of 64 x 96 pixels."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hrdet.checkpoints import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/quickstart/faster_rcnn_hrnetv2p_w18_small.py'


def run(*command, cwd, expect=0) -> str:
    """The output of a Python command in ``cwd``; ``expect`` is its exit code."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {'OMP_NUM_THREADS': '1'},
        timeout=1800,  # only against a hang: a busy machine is slow
    )
    assert done.returncode == expect, done.stdout
    return done.stdout


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Images, and options that make the quickstart config a matter of seconds."""
    folder = tmp_path_factory.mktemp('commands')
    size = ('--size', 64, 96)
    run(
        ROOT / 'tools/make_shapes.py',
        '--out',
        'data/shapes',
        '--train',
        6,
        '--val',
        3,
        *size,
        cwd=folder,
    )
    return folder


OPTIONS = (
    '--cfg-options',
    'data.train.img_scale=(96,64)',
    'data.val.img_scale=(96,64)',
    'data.test.img_scale=(96,64)',
    'data.imgs_per_gpu=1',
    'data.test_imgs_per_gpu=1',
    'data.workers_per_gpu=0',
    'log_config.interval=1',
    'total_epochs=1',
)


def entries(work_dir, mode):
    return [e for e in map(json.loads, (work_dir / 'log.jsonl').open()) if e['mode'] == mode]


@pytest.fixture(scope='module')
def trained(folder):
    """Two processes, started as the release's users start them, from the root of nothing."""
    launch = ('-m', 'torch.distributed.launch', '--nproc_per_node', 2, '--standalone')
    script = (ROOT / 'tools/train.py', CONFIG, '--launcher', 'pytorch', '--work_dir', 'two')
    return run(*launch, *script, '--gpus', 0, '--seed', 3, *OPTIONS, cwd=folder)


def test_distributed_training(folder, trained):
    work_dir = folder / 'two'
    assert '2 processes x 1 image x' in trained
    assert [e['step'] for e in entries(work_dir, 'train')] == [1, 2, 3]
    assert 'bbox_AP' in entries(work_dir, 'val')[0]
    assert (work_dir / 'curves.png').is_file()
    assert (work_dir / CONFIG.name).is_file()
    meta = read_checkpoint(work_dir / 'model_final.pth')['meta']
    assert meta['seed'] == 3
    assert len(meta['classes']) >= 5
    assert 'img_scale' in meta['config']


def test_results_of_two_processes_are_those_of_one(folder, trained, command, monkeypatch):
    monkeypatch.chdir(folder)
    test = (CONFIG, 'two/model_final.pth', '--gpus', 0)
    one = command('test', *test, '--eval', 'bbox', '--out', 'one.json', *OPTIONS)
    launch = ('-m', 'torch.distributed.run', '--nproc_per_node', 2, '--standalone')
    launched = (*launch, ROOT / 'tools/test.py', *test, '--launcher', 'pytorch')
    run(*launched, '--out', 'two.json', '--show-dir', 'shown', *OPTIONS, cwd=folder)
    assert 'bbox in %' in one
    assert 'inference model: optimized, dtype torch.float32, ' in one
    first, second = (json.loads((folder / n).read_text()) for n in ('one.json', 'two.json'))
    assert first == second
    assert len({r['image_id'] for r in first}) == 3
    assert len(list((folder / 'shown').glob('0*.jpg'))) == 3
    assert len(list((folder / 'shown/images').iterdir())) == 3  # drawn by both processes
    assert (folder / 'shown/report.html').is_file()


def test_test_time_augmentation(folder, trained, command, monkeypatch):
    """Four views of each image through loader, model and metric, to pictures."""
    views = ('data.test.img_scale=[(144,96),(96,64)]', 'data.test.flip_ratio=0.5')
    output = ('--out', 'views.json', '--show-dir', 'views')
    monkeypatch.chdir(folder)
    told = command('test', CONFIG, 'two/model_final.pth', '--gpus', 0, *output, *OPTIONS, *views)
    assert 'bbox in %' in told
    results = json.loads((folder / 'views.json').read_text())
    assert len({r['image_id'] for r in results}) == 3
    assert len(list((folder / 'views').glob('00000*.jpg'))) == 3


def test_interrupted_and_continued_by_the_same_command(folder):
    command = (ROOT / 'tools/train.py', CONFIG, '--work-dir', 'stopped', '--no-validate')
    options = (*OPTIONS, 'total_epochs=2', 'data.workers_per_gpu=1')
    with subprocess.Popen(
        [sys.executable, *map(str, (*command, *options))],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        for line in process.stdout:
            if '[1][2/6]' in line:
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: loader workers too
                break
        told = process.stdout.read()
    assert process.returncode == 130, told
    assert 'Run the same command to resume' in told
    meta = read_checkpoint(folder / 'stopped/latest.pth')['meta']
    assert (meta['epoch'], meta['position']) == (0, meta['iter'])
    assert 2 <= meta['iter'] <= 5
    run(*command, *options, cwd=folder)
    steps = [e['step'] for e in entries(folder / 'stopped', 'train')]
    assert steps == list(range(1, 13))
    assert len({e['seed'] for e in entries(folder / 'stopped', 'start')}) == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--gpus', '99'), '--gpus 99: this machine has'),
        (('--resume-from', 'no.pth'), 'no.pth'),
        (('--cfg-options', 'data.train.imgscale=3'), 'data.train.imgscale'),
        (('--cfg-options', 'data.train.ann_file=no.json'), 'no.json'),
        (('--launcher', 'slurm'), 'start with srun'),
    ],
)
def test_mistakes_end_with_a_message(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'argv', ['train.py', str(CONFIG), *arguments])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    assert str(left.value).startswith('error: ')
    assert message in str(left.value)
