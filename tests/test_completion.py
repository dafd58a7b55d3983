"""The scripts that complete commands."""

import shutil
import subprocess

import pytest

from hrdet import zoo
from hrdet.__main__ import COMMANDS, tools_folder
from hrdet.completion import SHELLS, options, script


@pytest.fixture(scope='module')
def scripts():
    tools = {
        name: (tool and tools_folder() / tool, text) for name, (tool, text) in COMMANDS.items()
    }
    return {shell: script(shell, tools) for shell in SHELLS}


def complete(text, *words):
    """What bash offers for the last of the words."""
    line = ' '.join(f"'{word}'" for word in words)
    code = f'COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _hrdet; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(['bash', '-c', f'{text}\n{code}'], capture_output=True, text=True)
    assert done.stderr == ''
    return done.stdout.split()


@pytest.mark.skipif(shutil.which('bash') is None, reason='needs bash')
def test_bash(scripts):
    text = scripts['bash']
    assert complete(text, 'hrdet', 'tr') == ['train']
    assert set(complete(text, 'hrdet', '')) == set(COMMANDS)
    assert complete(text, 'hrdet', 'train', 'NAME', '--work') == ['--work-dir']
    assert complete(text, 'hrdet', 'test', 'NAME', 'FILE', '--show-d') == ['--show-dir']
    assert complete(text, 'hrdet', 'infer', 'faster_rcnn_hrnetv2p_w18_1') == [
        'faster_rcnn_hrnetv2p_w18_1x'
    ]
    assert complete(text, 'hrdet', 'check', 'fas') == []  # then bash offers files
    assert complete(text, 'hrdet', 'infer', 'NAME', 'fas') == []


def test_zsh_reads_the_script_of_bash(scripts):
    first, rest = scripts['zsh'].split('\n', 1)
    assert first == 'autoload -U +X bashcompinit && bashcompinit'
    assert rest == scripts['bash']


def test_fish(scripts):
    lines = scripts['fish'].splitlines()
    assert all(line.startswith('complete -c hrdet -n ') for line in lines)
    assert "complete -c hrdet -n '__fish_seen_subcommand_from train' -l work-dir" in lines
    for name, (_, purpose) in COMMANDS.items():
        assert f"complete -c hrdet -n __fish_use_subcommand -a {name} -d '{purpose}'" in lines
    assert all(name in lines[-1] for name in zoo.MODELS)


def test_options_are_those_of_the_help():
    found = options(tools_folder() / 'train.py')
    assert {'--gpus', '--launcher', '--cfg-options', '--deterministic'} <= set(found)
    assert '--nproc' not in found  # of another program
