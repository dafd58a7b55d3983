"""What the tools take in common from the command line."""

import pytest

from hrdet.command_line import Parser, add_cfg_options, add_run_options, add_speed_options


def parse(*texts):
    parser = Parser('')
    add_cfg_options(parser)
    return parser.parse_args(['--cfg-options', *texts]).cfg_options


def test_values():
    options = parse(
        'a.b=1', 'c=1e-3', 'd=(1333, 800)', 'e=[(1, 2), (3, 4)]', 'f=true', 'g=None', 'h=a=b,c',
        'i=some path/with spaces', "j={'max_norm': 35}", "k='12'",
    )  # fmt: skip
    assert options == {
        'a.b': 1,
        'c': 1e-3,
        'd': (1333, 800),
        'e': [(1, 2), (3, 4)],
        'f': True,
        'g': None,
        'h': 'a=b,c',
        'i': 'some path/with spaces',
        'j': {'max_norm': 35},
        'k': '12',
    }


def test_an_unknown_option_suggests_one(capsys):
    parser = Parser('')
    add_run_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(['--laucher', 'pytorch'])
    assert "unrecognized arguments: --laucher; did you mean '--launcher'?" in (
        capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        parser.parse_args(['config', '--graph', '1'])  # as near to --gpus as dashes make it
    assert capsys.readouterr().err.endswith('unrecognized arguments: --graph 1\n')


def test_mistakes(capsys):
    with pytest.raises(SystemExit):
        parse('nothing')
    assert (
        "--cfg-options takes PATH=VALUE, not 'nothing'; files come before it"
        in capsys.readouterr().err
    )
    with pytest.raises(SystemExit):
        parse('classes=[cat, dog]')
    assert "classes: '[cat, dog]' is not a Python value; strings" in capsys.readouterr().err


def test_options_in_both_spellings():
    parser = Parser('')
    add_run_options(parser)
    parser.add_argument('--work-dir')
    ours = parser.parse_args(
        ['c.py', '--work-dir=a_b', '--local-rank', '1', '--cfg-options', 'x=1']
    )
    theirs = parser.parse_args(['c.py', '--work_dir=a_b', '--local_rank=1', '--cfg_options', 'x=1'])
    assert ours == theirs
    assert (ours.work_dir, ours.local_rank, ours.cfg_options) == ('a_b', 1, {'x': 1})


def test_a_graph_takes_no_file_for_its_multiple(capsys):
    parser = Parser('')
    parser.add_argument('config')
    add_speed_options(parser)
    for texts, graph in (
        (['c.py'], False),
        (['c.py', '--graph'], True),
        (['--graph', '64', 'c.py'], 64),
    ):
        args = parser.parse_args(texts)
        assert (args.config, args.graph) == ('c.py', graph)
    with pytest.raises(SystemExit):
        parser.parse_args(['--graph', 'c.py'])
    told = capsys.readouterr().err
    assert "--graph: expected an integer, not 'c.py'; put --graph after the file arguments" in told
