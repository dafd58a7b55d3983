"""tools/download.py as a user runs it."""

import logging
from dataclasses import replace

import pytest

from hrdet import zoo
from tests.file_server import NAME
from tools.download import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_HOME', str(tmp_path))
    # The logger as it is in a new process, not on the console of a training before.
    monkeypatch.setattr(logging.getLogger('hrdet'), 'handlers', [])
    return tmp_path


def test_files_are_printed_and_problems_listed(server, cache, capsys):
    assert main([f'{server.url}/{NAME}', f'{server.url}/gone-e368c387.pth', 'no_model']) == 1
    told = capsys.readouterr()
    assert told.out == f'{cache / NAME}\n'
    *_, first, second = told.err.splitlines()
    assert first.startswith('error: gone-e368c387.pth: no address has it')
    assert second == 'error: no_model: neither a published model nor an address nor a file'
    assert main([f'{server.url}/{NAME}']) == 0


def test_all_of_a_task(server, cache, monkeypatch, capsys):
    models = [m for m in zoo.MODELS.values() if m.task == 'classification']
    for model in models:
        monkeypatch.setitem(zoo.MODELS, model.name, replace(model, url=f'{server.url}/{NAME}'))
    assert main(['all', '--task', 'classification']) == 0
    assert capsys.readouterr().out == f'{cache / NAME}\n' * 9
    assert len(server.requests) == 1
