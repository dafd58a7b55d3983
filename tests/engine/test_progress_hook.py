"""The progress bar follows the run and leaves the terminal as it was."""

import logging
import sys

import pytest

from hrdet.engine.progress_hook import ProgressHook
from tests.engine import standin


def consoles(runner):
    return [h.stream for h in runner.logger.handlers if type(h) is logging.StreamHandler]


def test_bars_follow_the_run(tmp_path):
    hook = ProgressHook()
    runner = standin.runner(tmp_path, standin.settings(runner_fields=dict(custom_hooks=[hook])))
    runner.train()
    (task,) = hook._bar.tasks  # those of the evaluations are gone
    assert task.completed == task.total == 10
    assert task.description.startswith('epoch 2/2  loss ')
    assert not hook._bar.live.is_started
    assert consoles(runner) == [sys.stdout]


def test_an_error_ends_the_bar(tmp_path):
    hook = ProgressHook()
    settings = standin.settings(runner_fields=dict(custom_hooks=[hook]))
    with pytest.raises(RuntimeError, match='not finite'):
        standin.runner(tmp_path, settings, broken=0).train()
    assert not hook._bar.live.is_started
