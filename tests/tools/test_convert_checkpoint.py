"""tools/convert_checkpoint.py as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hrdet.checkpoints import read_checkpoint
from tools.convert_checkpoint import main

TOOL = Path(__file__).resolve().parents[2] / 'tools/convert_checkpoint.py'


def test_a_training_checkpoint_becomes_a_file_to_give_away(tmp_path):
    weights = {'module.bbox_head.fcos_cls.weight': torch.randn(2, 3).half()}
    meta = {'mmdet_version': '1.0rc0', 'CLASSES': ('ant', 'bee')}
    torch.save({'state_dict': weights, 'meta': meta, 'optimizer': {}}, tmp_path / 'in.pth')
    command = [sys.executable, TOOL, tmp_path / 'in.pth', tmp_path / 'out.pth']
    command += ['--to', 'mmdet3', '--hash']
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (out,) = tmp_path.glob('out-*.pth')
    head, *rest = result.stdout.splitlines()
    assert head == (
        f'{out}: 1 entry of mmdetection 1.x (1 renamed, 0 reordered, 1 widened to float32)'
    )
    assert rest[0] == '  left out: optimizer'
    assert rest[1].startswith('  warning: trained with inclusive boxes')
    back = read_checkpoint(out)
    value = weights['module.bbox_head.fcos_cls.weight'].float()
    assert torch.equal(back['state_dict']['bbox_head.conv_cls.weight'], value)
    assert back['meta']['dataset_meta']['classes'] == ('ant', 'bee')


@pytest.mark.parametrize(('arguments', 'told'), [
    (('no.pth', 'out.pth', '--to', 'hrdet'), r"'no\.pth': there is no such file"),
    (('in.pth', 'in.pth', '--to', 'hrdet'), 'exists already'),
    (('in.pth', 'out.pth', '--to', 'hrdet', '--no-ema'), 'moving average'),
])  # fmt: skip
def test_a_mistake_is_one_line(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({'bbox_head.conv_cls.weight': torch.zeros(2, 3)}, 'in.pth')
    with pytest.raises(SystemExit, match=rf'^error: .*{told}'):
        main(arguments)
    assert [file.name for file in tmp_path.iterdir()] == ['in.pth']
