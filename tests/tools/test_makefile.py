"""The demo of each task: its data, config and pictures belong together."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hrdet.config import load_config, lower

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments):
    done = subprocess.run(
        ['make', '--dry-run', '--always-make', *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    return done.stdout + done.stderr


@pytest.fixture(autouse=True)
def _make():
    if shutil.which('make') is None:
        pytest.skip('needs make')


@pytest.mark.parametrize('options', [(), ('TASK=segmentation',), ('TASK=classification',)])
def test_the_demo(options):
    commands = make('demo', *options)
    train, test = (
        re.search(rf'tools/{name}.py (\S+) (.*)', commands) for name in ('train', 'test')
    )
    task, out = re.search(r'--task (\w+) --out (\S+)', commands).groups()
    assert task == (options[0].partition('=')[2] if options else 'detection')
    # The config is on the data that the command before has made, and its folder is the demo's.
    assert train[1] == test[1]
    run = lower(load_config(ROOT / train[1]))
    for split in run.splits():
        assert f"'{out}" in str(dict(split['dataset']))
    work_dir = run.runtime.work_dir.removeprefix('./')
    assert train[2] == f'--work_dir {work_dir}'
    assert test[2] == f'{work_dir}/model_final.pth --show-dir {work_dir}/predictions'


def test_checks_of_damaged_files_and_of_memory():
    assert '--hypothesis-profile=fuzz tests/test_fuzz.py' in make('fuzz')
    assert 'tests/ops/sanitize.sh operators' in make('sanitize')
    assert 'HRDET_SANITIZERS=1' in make('sanitize', 'WHOLE=1')


def test_a_task_that_there_is_not():
    assert 'TASK=pose: there are detection, segmentation and classification' in make(
        'demo', 'TASK=pose'
    )
