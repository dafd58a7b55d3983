"""Training curves from logs as runs leave them."""

import json

import cv2
import pytest

from hrdet.visualize import plot_curves
from hrdet.visualize.curves import metric_groups, read_log


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
    train, val, _ = read_log(log)
    assert [e['step'] for e in train] == [10, 20, 30, 40]
    assert train[2]['loss'] == 2.0 / 30
    assert [e['bbox_AP'] for e in val] == [0.1]


def test_torn_lines_are_skipped_with_one_warning(tmp_path, caplog):
    """A full disk tears a line; a resumed run appends its first line to what is left of it."""
    torn = json.dumps(losses(3))[:20]
    log = tmp_path / 'log.jsonl'
    lines = [json.dumps(losses(1)), '{"mode":', torn + json.dumps(entry(1, 'start')), '[1]', '']
    log.write_text('\n'.join([*lines, json.dumps(losses(2)), '{"mode": "tra']))
    train, val, _ = read_log(log)
    assert [e['step'] for e in train] == [1, 2]
    assert val == []
    (record,) = caplog.records
    assert '4 of 7 lines are not JSON' in record.message
    assert 'line 2 first' in record.message
    plot_curves(log, tmp_path / 'curves.png')


def test_a_start_after_a_torn_line_still_counts(tmp_path):
    log = tmp_path / 'log.jsonl'
    lines = [*map(json.dumps, (losses(10), losses(20))), '{"mo' + json.dumps(entry(10, 'start'))]
    log.write_text('\n'.join(lines))
    assert [e['step'] for e in read_log(log)[0]] == [10]


def test_a_whole_log_warns_of_nothing(tmp_path, caplog):
    read_log(write(tmp_path / 'log.jsonl', entry(0, 'start'), losses(1)))
    assert not caplog.records


@pytest.mark.parametrize(
    ('metrics', 'groups'),
    [
        (
            ['bbox_AP', 'bbox_AP50', 'bbox_AP75', 'bbox_APs', 'segm_AP', 'segm_AP50'],
            [['bbox_AP', 'bbox_AP50', 'bbox_AP75'], ['segm_AP', 'segm_AP50']],
        ),
        (['accuracy/top1', 'accuracy/top5'], [['accuracy/top1', 'accuracy/top5']]),
        (['mIoU', 'mAcc', 'aAcc', 'mDice'], [['mIoU', 'mAcc', 'aAcc']]),
    ],
)
def test_the_first_metrics_of_every_kind(metrics, groups):
    values = {name: 0.5 for name in metrics}
    assert metric_groups(entry(7, 'val', epoch=1, **values)) == groups


def test_metrics_in_per_cent_by_iteration(tmp_path, monkeypatch):
    axes = {}
    monkeypatch.setattr('hrdet.visualize.curves._finish', lambda a: axes.update({a.get_title(): a}))
    entries = [losses(1), entry(1, 'val', mIoU=41.0), entry(2, 'val', mIoU=float('nan'))]
    plot_curves(write(tmp_path / 'log.jsonl', *entries), tmp_path / 'a.png')
    assert axes['validation'].get_ylim() == (0, 100)
    assert axes['validation'].get_xlabel() == 'iteration'


@pytest.mark.parametrize(('unit', 'shown'), [('iteration', [150, 300]), ('epoch', [1, 2])])
def test_the_axis_of_metrics_has_the_run_s_unit(tmp_path, monkeypatch, unit, shown):
    """Evaluations of a run in iterations may fall into epochs of their own."""
    axes = {}
    monkeypatch.setattr('hrdet.visualize.curves._finish', lambda a: axes.update({a.get_title(): a}))
    entries = [entry(0, 'start', unit=unit), losses(1)]
    entries += [entry(150 * n, 'val', epoch=n, mIoU=0.1 * n) for n in (1, 2)]
    plot_curves(write(tmp_path / 'log.jsonl', *entries), tmp_path / 'a.png')
    assert axes['validation'].get_xlabel() == unit
    assert axes['validation'].get_lines()[0].get_xdata().tolist() == shown


def test_metrics_of_other_tasks(monkeypatch, tmp_path):
    """Means in a colour each, without scores of single classes; one loss is one line."""
    axes = {}
    monkeypatch.setattr('hrdet.visualize.curves._finish', lambda a: axes.update({a.get_title(): a}))
    for metrics, shown in (
        ({'mIoU': 0.4, 'mAcc': 0.5, 'aAcc': 0.8, 'IoU.low_tree': 0.1, 'IoU.low_car': 0.2}, 3),
        ({'top1': 0.4, 'mean_class_accuracy': 0.3}, 2),
    ):
        entries = [entry(1, loss=2.0, **{'decode.loss_ce': 2.0})]
        entries += [entry(step, 'val', epoch=1, **metrics) for step in (50, 100)]
        plot_curves(write(tmp_path / 'log.jsonl', *entries), tmp_path / 'a.png')
        lines = axes['validation'].get_lines()
        *lines, mark, star = lines
        assert len(lines) == shown
        assert len({line.get_color() for line in lines}) == shown
        assert 'epoch' not in mark.get_label()
        assert star.get_xdata()[0] == 50  # the first of two equal ones
        assert axes['validation'].get_xlabel() == 'iteration'  # both in the first epoch
        assert len(axes['training loss'].get_lines()) == 1


def test_losses_on_a_logarithmic_scale_the_rate_and_the_best_epoch(monkeypatch, tmp_path):
    axes = {}
    monkeypatch.setattr('hrdet.visualize.curves._finish', lambda a: axes.update({a.get_title(): a}))
    entries = [losses(step) | dict(lr=0.1 / step, loss_bbox=0.01 / step) for step in (10, 20, 30)]
    entries += [
        entry(10 * e, 'val', epoch=e, bbox_AP=ap) for e, ap in ((1, 0.2), (2, 0.4), (3, 0.3))
    ]
    plot_curves(write(tmp_path / 'log.jsonl', *entries), tmp_path / 'a.png')
    assert axes['training loss'].get_yscale() == 'log'
    assert axes['training loss'].get_ylabel() == 'loss'
    (rate,) = axes['learning rate'].get_lines()
    assert rate.get_ydata() == pytest.approx([0.01, 0.005, 0.1 / 30])
    _, mark, star = axes['validation'].get_lines()
    assert mark.get_label() == 'best bbox_AP:\n0.400, epoch 2'
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (2, 0.4)


def test_losses_that_are_not_finite(tmp_path):
    nothing = float('nan')
    plot_curves(write(tmp_path / 'log.jsonl', entry(1, loss=nothing)), tmp_path / 'a.png')
    assert (tmp_path / 'a.png').is_file()


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
