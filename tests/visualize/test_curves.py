"""Training curves from logs as runs leave them."""

import json

import cv2
import pytest

from hrdet.visualize import plot_curves
from hrdet.visualize.curves import read_log


def entry(step, mode='train', **values):
    return dict(mode=mode, step=step, **values)


def write(path, *entries, tail=''):
    path.write_text('\n'.join([*map(json.dumps, entries), tail]))
    return path


def losses(step):
    return entry(step, epoch=1, loss=2.0 / step, loss_cls=1.0 / step, loss_bbox=1.0 / step)


def test_what_a_resumed_run_did_again_counts_once(tmp_path):
    log = write(
        tmp_path / 'log.jsonl',
        entry(0, 'start'),
        *(losses(s) for s in (10, 20)),
        entry(20, 'val', bbox_AP=0.1),
        entry(30, loss=99.0),
        entry(20, 'start'),
        *(losses(s) for s in (30, 40)),
    )
    train, val = read_log(log)
    assert [e['step'] for e in train] == [10, 20, 30, 40]
    assert train[2]['loss'] == 2.0 / 30
    assert [e['bbox_AP'] for e in val] == [0.1]


def test_a_last_line_cut_short_is_left_out_others_are_errors(tmp_path):
    log = write(tmp_path / 'log.jsonl', losses(1), tail='{"mode": "tra')
    assert len(read_log(log)[0]) == 1
    log.write_text('{"mode":\n' + json.dumps(losses(1)))
    with pytest.raises(ValueError, match=r'log.jsonl, line 1: not JSON'):
        read_log(log)


@pytest.mark.parametrize('metrics', [(), ('bbox',), ('bbox', 'segm')])
def test_the_picture(tmp_path, metrics):
    entries = [losses(s) for s in range(1, 60)]
    if metrics:
        for step in (20, 40):
            values = {f'{kind}_{n}': step / 80 for kind in metrics for n in ('AP', 'AP50')}
            entries.append(entry(step, 'val', epoch=step // 20, **values))
    plot_curves(write(tmp_path / 'log.jsonl', *entries), tmp_path / 'new' / 'curves.png')
    picture = cv2.imread(str(tmp_path / 'new' / 'curves.png'))
    assert picture.shape[1] > (1400 if metrics else 800)
    assert (picture < 128).any(-1).mean() > 0.005


def test_losses_of_stages_are_drawn(tmp_path):
    for name in ('s0.loss_cls', 'accuracy'):
        log = write(tmp_path / 'log.jsonl', *(entry(s, loss=1, **{name: 1 / s}) for s in (1, 2)))
        plot_curves(log, tmp_path / f'{name}.png')
    drawn, bare = (cv2.imread(str(path)) for path in sorted(tmp_path.glob('*.png'))[::-1])
    assert (drawn < 128).sum() > (bare < 128).sum() + 100


def test_nothing_to_plot_is_said(tmp_path):
    with pytest.raises(ValueError, match='no losses in it'):
        plot_curves(write(tmp_path / 'log.jsonl', entry(0, 'start')), tmp_path / 'a.png')
