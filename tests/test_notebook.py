"""The notebook runs from its first cell to its last, on less data and for one epoch."""

import json
import shlex
import subprocess
import sys

SMALLER = {'--train 800': '--train 8', '--val 200': '--val 2', '--size 128 160': '--size 64 64'}


def run(line, names):
    """A line of the shell, with its {names} filled in; ``hrdet`` is this one."""
    for text, smaller in SMALLER.items():
        line = line.replace(text, smaller)
    words = shlex.split(line.format(**names))
    assert words[0] == 'hrdet'
    if words[1] == 'train':
        words += ['--no-validate', '--cfg-options', 'total_epochs=1']
    done = subprocess.run([sys.executable, '-m', *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_quickstart(pytestconfig, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', str(pytestconfig.rootpath))
    notebook = json.loads((pytestconfig.rootpath / 'docs/quickstart.ipynb').read_text())
    assert notebook['nbformat'] == 4
    names = {}
    for cell in notebook['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'code' and source.startswith('!'):
            run(source[1:], names)
        elif cell['cell_type'] == 'code':
            exec(source, names)
    assert (tmp_path / 'found.jpg').is_file()
    assert all(not cell.get('outputs') for cell in notebook['cells'])  # they are not committed
