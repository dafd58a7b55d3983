"""tools/convert_dataset.py: two processes, and errors of one line."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = Path(__file__).resolve().parents[2] / 'tools/convert_dataset.py'


def test_a_conversion_in_two_processes_and_its_errors(tmp_path):
    raw, out = tmp_path / 'raw', tmp_path / 'out'
    for part in ('Train', 'Val'):
        for kind in ('images_png', 'masks_png'):
            folder = raw / part / 'Rural' / kind
            folder.mkdir(parents=True)
            for number in range(3):
                cv2.imwrite(str(folder / f'{part}{number}.png'), np.zeros((4, 4), np.uint8))
    command = [sys.executable, str(TOOL), 'loveda', str(raw), str(out), '--processes', '2']
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout == f'images: 3 train, 3 val, 0 test in {out}\n'
    assert len(list(out.rglob('*.png'))) == 12

    main = runpy.run_path(str(TOOL))['main']
    with pytest.raises(SystemExit, match=r'^error: .*img_dir exists, and nothing is overwritten;'):
        main(['loveda', str(raw), str(out)])
    with pytest.raises(SystemExit, match=r"^error: NAME: no conversion for 'x'; there are citysc"):
        main(['x', str(raw), str(out)])
