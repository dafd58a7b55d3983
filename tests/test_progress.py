"""Bars at a terminal, nothing in files."""

import io
import sys

import pytest

from hrdet.data.shapes import make_shapes
from hrdet.progress import download_bar, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    for name in ('TERM', 'NO_COLOR', 'FORCE_COLOR', 'TTY_COMPATIBLE'):
        monkeypatch.delenv(name, raising=False)

    def begin():  # in a test: before it pytest changes sys.stdout itself
        monkeypatch.setattr(sys, 'stdout', Terminal())
        return sys.stdout

    return begin


def test_a_bar_at_a_terminal(terminal):
    output = terminal()
    assert list(track(range(3), 'numbers')) == [0, 1, 2]
    assert list(track(iter('ab'), 'letters', total=2)) == ['a', 'b']
    for title in ('numbers', 'letters'):
        assert title in output.getvalue()


def test_nothing_elsewhere(capsys):
    assert list(track(range(3), 'numbers')) == [0, 1, 2]
    assert capsys.readouterr().out == ''


def test_making_shapes_is_seen(terminal, tmp_path):
    output = terminal()
    make_shapes(str(tmp_path), 2, 1, (64, 64))
    for title in ('images of train', 'images of val'):
        assert title in output.getvalue()


def test_downloads_have_their_bar_on_stderr(terminal, monkeypatch):
    terminal()
    monkeypatch.setattr(sys, 'stderr', Terminal())
    with download_bar('a.pth', 10, 30) as advance:
        advance(20)
    assert 'a.pth' in sys.stderr.getvalue()
    assert '30/30 bytes' in sys.stderr.getvalue()
    assert sys.stdout.getvalue() == ''


def test_a_download_to_a_file_has_no_bar(capsys):
    with download_bar('a.pth', 0, None) as advance:
        advance(20)
    assert capsys.readouterr() == ('', '')
