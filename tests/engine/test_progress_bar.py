"""The progress bar follows the run and leaves the terminal as it was."""

import logging
import sys

import pytest

from hrdet.engine.progress_bar import ProgressBar
from tests.engine import toy_run


def consoles(trainer):
    handlers = trainer.logger.handlers
    return [h.stream for h in handlers if not isinstance(h, logging.FileHandler)]


def test_bars_follow_the_run(tmp_path):
    hook = ProgressBar()
    trainer = toy_run.trainer(tmp_path, hooks=[hook])
    trainer.run()
    (task,) = hook.bar.tasks  # those of the evaluations are gone
    assert task.completed == task.total == 10
    assert task.description.startswith('epoch 2  loss ')
    assert not hook.bar.live.is_started
    assert consoles(trainer) == [sys.stdout]


def test_an_error_ends_the_bar(tmp_path):
    hook = ProgressBar()
    with pytest.raises(RuntimeError, match='not finite'):
        toy_run.trainer(tmp_path, hooks=[hook], broken=0).run()
    assert not hook.bar.live.is_started
