"""Mistakes on the benchmarks' command lines end with a message."""

import pytest

from benchmarks import __main__ as command
from benchmarks import regression


def test_no_case_of_that_name():
    with pytest.raises(SystemExit, match="error: no case has 'nothing' in its name"):
        command.main(['operators', '--match', 'nothing'])


@pytest.mark.parametrize('parse', [command.parse_args, regression.parse_args])
def test_no_such_subject(parse, capsys):
    with pytest.raises(SystemExit):
        parse(['HEAD', 'HEAD', 'inferenc'])
    assert 'there is no subject' in capsys.readouterr().err


def test_no_such_commit(capsys):
    with pytest.raises(SystemExit):
        regression.parse_args(['inference'])
    told = capsys.readouterr().err
    assert 'git knows no commit inference; two commits come before the subjects' in told
