"""The command hrdet, in a folder that has nothing of hrdet's."""

import subprocess
import sys

import pytest

from hrdet.__main__ import COMMANDS, tools_folder

MODEL = 'faster_rcnn_hrnetv2p_w18_1x'


@pytest.fixture
def hrdet(pytestconfig, tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(pytestconfig.rootpath))

    def run(*arguments):
        command = [sys.executable, '-m', 'hrdet', *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run


def test_every_command_is_a_tool():
    for tool, _ in COMMANDS.values():
        assert tool is None or (tools_folder() / tool).is_file()


@pytest.mark.parametrize('command', COMMANDS)
def test_help_names_the_command(hrdet, command):
    done = hrdet(command, '--help')
    assert done.returncode == 0, done.stderr
    assert f'usage: hrdet {command} ' in done.stdout


def test_the_list_of_commands(hrdet):
    for arguments in ([], ['--help']):
        done = hrdet(*arguments)
        assert done.returncode == 0
        assert all(f'\n  {name} ' in done.stdout for name in COMMANDS)
    assert hrdet('--version').stdout.startswith('hrdet ')


def test_a_wrong_command(hrdet):
    done = hrdet('trian')
    assert done.returncode == 2
    assert done.stderr.count('\n') == 1
    assert "no command 'trian'; did you mean 'train'?" in done.stderr


def test_the_config_of_a_published_model(hrdet, tmp_path):
    """Printed as a file to edit, which is a config by itself."""
    done = hrdet('config', 'fcn_hr18s_512x1024_40k_cityscapes')
    assert done.returncode == 0, done.stderr
    (tmp_path / 'mine.py').write_text(done.stdout)
    again = hrdet('config', 'mine.py')
    assert again.stdout == done.stdout
    done = hrdet('config', 'fcn_hr18s_512x1024_40k_cityscape')
    assert done.returncode != 0
    assert "did you mean 'fcn_hr18s_512x1024_40k_cityscapes'?" in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_missing_package_is_one_line(hrdet, pytestconfig, tmp_path, monkeypatch):
    text = "raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')"
    (tmp_path / 'numpy.py').write_text(text)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{pytestconfig.rootpath}')
    tool = [sys.executable, pytestconfig.rootpath / 'tools/print_config.py', MODEL]
    for done in (hrdet('config', MODEL), subprocess.run(tool, capture_output=True, text=True)):
        assert done.returncode == 1
        assert done.stderr.startswith("error: No module named 'numpy', in ")
        assert 'python -m hrdet.doctor says what is missing' in done.stderr
        assert done.stderr.count('\n') == 1


def test_arguments_reach_the_tool(hrdet, tmp_path):
    arguments = ['--out', 'data', '--train', '2', '--val', '1', '--size', '64', '64']
    done = hrdet('shapes', *arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'data').is_dir()
    done = hrdet('check', 'data/annotations/train.json', 'data/train')
    assert 'Traceback' not in done.stderr
