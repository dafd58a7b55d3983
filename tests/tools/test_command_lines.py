"""What holds for the command lines of all tools."""

import argparse
import runpy
import sys
from pathlib import Path

import pytest

from hrdet.command_line import Parser

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
COMMANDS = [p for p in sorted(TOOLS.rglob('*.py')) if "__name__ == '__main__'" in p.read_text()]


@pytest.mark.parametrize('path', COMMANDS, ids=lambda path: path.stem)
def test_every_tool_takes_its_options_in_both_spellings(path, monkeypatch):
    parsers = []
    monkeypatch.setattr(argparse.ArgumentParser, 'print_help', lambda self: parsers.append(self))
    monkeypatch.setattr(sys, 'argv', [path.name, '--help'])
    monkeypatch.setattr(sys, 'path', list(sys.path))
    with pytest.raises(SystemExit):
        runpy.run_path(str(path), run_name='__main__')
    (parser,) = parsers
    assert isinstance(parser, Parser)
