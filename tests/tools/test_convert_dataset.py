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
    with pytest.raises(SystemExit, match=r"^error: NAME: no conversion for 'x'; there .*ADE20K"):
        main(['x', str(raw), str(out)])


def test_labels_to_another_format_and_its_errors(tmp_path, capsys):
    source = tmp_path / 'source'
    for folder in ('images', 'labels'):
        (source / folder).mkdir(parents=True)
    cv2.imwrite(str(source / 'images/a.jpg'), np.zeros((40, 80, 3), np.uint8))
    (source / 'labels/a.txt').write_text('0 0.5 0.5 0.25 0.5\n')
    (source / 'classes.txt').write_text('cat\n')
    main = runpy.run_path(str(TOOL))['main']
    main([str(source), str(tmp_path / 'new'), '--to', 'voc'])
    assert 'taken for YOLO: all 1 image; 1 class: cat\nwritten to' in capsys.readouterr().out
    assert (tmp_path / 'new/ImageSets/Main/train.txt').read_text() == 'a\n'

    (source / 'labels/a.txt').write_text('1 0.5 0.5 0.25 0.5\n')
    with pytest.raises(
        SystemExit, match=r'^error: .*a\.txt: line 1: class 1, but there are 1 names'
    ):
        main([str(source), str(tmp_path / 'other'), '--to', 'voc'])
    with pytest.raises(SystemExit, match=r'^error: .*: no labels of boxes in COCO, VOC, YOLO'):
        main([str(tmp_path / 'new/ImageSets'), str(tmp_path / 'other'), '--to', 'coco'])
    for arguments in (['a', 'b'], ['a', 'b', 'c', '--to', 'voc']):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        assert left.value.code == 2
