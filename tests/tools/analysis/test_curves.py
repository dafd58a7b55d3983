"""tools/analysis/curves.py as a user runs it."""

import json

import cv2

from tools.analysis.curves import main


def run(folder, best, epochs=3, **metrics):
    """A work folder whose metric rises to ``best`` in the last epoch but one."""
    folder.mkdir(parents=True)
    entries = [dict(mode='start', step=0, unit='epoch')]
    for epoch in range(1, epochs + 1):
        step, ap = 10 * epoch, best if epoch == epochs - 1 else best / 2
        entries.append(dict(mode='train', step=step, epoch=epoch, loss=1 / epoch))
        values = {name: ap for name in ('bbox_AP', 'bbox_AP50', 'bbox_AP.car')} | metrics
        entries.append(dict(mode='val', step=step, epoch=epoch, **values))
    (folder / 'log.jsonl').write_text('\n'.join(map(json.dumps, entries)), encoding='utf-8')
    return str(folder)


def test_a_table_of_the_best_and_the_last_and_a_picture(tmp_path, capsys):
    runs = [run(tmp_path / 'a', 0.4), run(tmp_path / 'longer_name', 0.6, 5, segm_AP=0.25)]
    out = tmp_path / 'new' / 'both.png'
    assert main([*runs, '--out', str(out)]) == 0
    head, first, second, last = capsys.readouterr().out.splitlines()
    columns = 'run iterations loss best bbox_AP in epoch last best segm_AP in epoch last'
    assert head.split() == columns.split()
    assert first.split() == ['a', '30', '0.3333', '0.4000', '2', '0.2000', '-', '-', '-']
    expected = ['longer_name', '50', '0.2000', '0.6000', '4', '0.3000', '0.2500', '1', '0.2500']
    assert second.split() == expected
    assert len(head) == len(first) == len(second)
    assert last == f'look at: {out}'
    height, width = cv2.imread(str(out)).shape[:2]
    assert width > 3 * height  # losses and two metrics


def test_chosen_metrics_and_folders_of_one_name(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = [run(tmp_path / name / 'run', 0.5) for name in 'ab']
    assert main(['a/run', f'{runs[1]}/log.jsonl', '--metric', 'bbox_AP.car']) == 0
    head, *lines, last = capsys.readouterr().out.splitlines()
    assert 'best bbox_AP.car' in head
    assert 'bbox_AP ' not in head
    assert [line.split()[0] for line in lines] == ['a/run', runs[1]]
    assert last == 'look at: compared_runs.png'


def test_mistakes_are_one_line(tmp_path, capsys):
    good, empty = run(tmp_path / 'good', 0.5), tmp_path / 'empty'
    empty.mkdir()
    (empty / 'log.jsonl').write_text('{"mode": "start", "step": 0}', encoding='utf-8')
    for arguments, expected in (
        ([str(tmp_path / 'no')], 'no: No such file or directory; a RUN is the work folder of'),
        ([str(tmp_path)], 'log.jsonl: No such file or directory; a RUN is'),
        ([str(empty)], 'empty: no losses in its log (yet)'),
        ([good, '--metric', 'bbox_APP'], "good: no metric 'bbox_APP' in its log; did you mean"),
    ):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert expected in error
        assert error.count('\n') == 1


def test_runs_without_validation_have_their_losses(tmp_path, capsys):
    folder = tmp_path / 'run'
    folder.mkdir()
    line = json.dumps(dict(mode='train', step=5, loss=float('nan')))
    (folder / 'log.jsonl').write_text(line, encoding='utf-8')
    out = str(tmp_path / 'a.png')
    assert main([str(folder), '--out', out]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ['run', '5', 'nan']
