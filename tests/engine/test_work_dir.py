"""One training at a time in a folder; what dead ones leave; disks that are full."""

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple

import pytest

from hrdet.checkpoints import disk
from hrdet.checkpoints.disk import link
from hrdet.engine import Hook
from hrdet.engine.work_dir import WorkDir, WorkDirError
from hrdet.run_tool import one_line
from tests.engine import toy_run

HOLD = """
import sys, time
from hrdet.engine import Hook
from hrdet.engine.work_dir import WorkDir
folder = WorkDir(sys.argv[1])
print('held', flush=True)
time.sleep(3600)  # until it is killed
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder."""
    with subprocess.Popen(
        [sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == 'held\n'
        yield process
        process.kill()


def test_a_folder_is_held_by_one_training(tmp_path, holder):
    with pytest.raises(WorkDirError, match=rf'process {holder.pid} on .* since .*--work-dir'):
        WorkDir(tmp_path)


def test_the_lock_ends_with_the_process(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    WorkDir(tmp_path).release()


def test_leftovers_of_killed_writers_are_removed(tmp_path):
    for name in ('.latest.pth.123.tmp', '.epoch_1.pth.4567.tmp'):
        (tmp_path / name).write_text('half a file')
    (tmp_path / 'notes.tmp').write_text('of the user')
    WorkDir(tmp_path).release()
    assert {p.name for p in tmp_path.iterdir()} == {'notes.tmp', '.lock'}


def test_two_names_of_one_file_leave_no_draft(tmp_path):
    (tmp_path / 'a').write_text('x')
    for _ in range(2):
        link(tmp_path / 'a', tmp_path / 'b')
    assert {p.name for p in tmp_path.iterdir()} == {'a', 'b'}


def test_a_failing_rename_leaves_no_draft(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, 'No space left on device')

    (tmp_path / 'a').write_text('x')
    monkeypatch.setattr(os, 'replace', refuse)
    with pytest.raises(OSError, match='No space'):
        link(tmp_path / 'a', tmp_path / 'b')
    assert [p.name for p in tmp_path.iterdir()] == ['a']


def test_a_full_disk_is_told_with_path_and_sizes(tmp_path, monkeypatch):
    """torch says 'unexpected pos 13324608 vs 13324504'; the older checkpoint stays."""
    usage = namedtuple('usage', 'total used free')
    trainer = toy_run.trainer(tmp_path)
    saved, save = [], disk.save_checkpoint

    def full(path, content):
        if saved:
            monkeypatch.setattr(disk.shutil, 'disk_usage', lambda path: usage(1, 1, 0))
            raise RuntimeError('[enforce fail] . unexpected pos 44081152 vs 44081040')
        saved.append(path)
        save(path, content)

    monkeypatch.setattr(disk, 'save_checkpoint', full)
    with pytest.raises(OSError, match='disk is full') as error:
        trainer.run()
    line = one_line(error.value)
    assert line.startswith(str(tmp_path / 'best_bbox_AP.pth'))
    assert 'max_keep_ckpts' in line
    assert (tmp_path / 'latest.pth').is_file()


def test_latest_is_never_older_than_the_minutes(tmp_path):
    """A run killed in mid-epoch loses that much."""
    written = []

    class Killed(Exception):
        pass

    class Watch(Hook):
        def after_checkpoint(self, trainer, path):
            written.append(trainer.iter)

        def after_iteration(self, trainer, batch, losses):
            time.sleep(0.001)
            if trainer.iter == 4:
                raise Killed

    settings = toy_run.settings(checkpoint=dict(interval_minutes=0))
    with pytest.raises(Killed):
        toy_run.trainer(tmp_path, settings, hooks=[Watch()]).run()
    assert written == [1, 2, 3]
    again = toy_run.trainer(tmp_path, settings, resume_from=str(tmp_path / 'latest.pth'))
    assert again.iter == 3
