"""Running a conversion: nothing is overwritten, nothing is left half done."""

import os
from functools import partial

import pytest

from hrdet.data import DataError
from hrdet.data.conversion.plan import Plan, run, unfinished, write_lines


@pytest.fixture
def plan(tmp_path):
    folder, listed = tmp_path / 'maps', tmp_path / 'sets/train.txt'
    steps = [partial(write_lines, unfinished(folder) / f'{i}.txt', [str(i)]) for i in range(5)]
    steps.append(partial(write_lines, unfinished(listed), ['a', 'b']))
    return Plan(steps, [folder, listed])


def fail(path):
    raise DataError(f'{path}: broken')


def end(code):
    os._exit(code)


def test_targets_appear_when_all_steps_are_done(plan, tmp_path):
    run(plan, 'maps', 1)
    assert sorted(p.name for p in (tmp_path / 'maps').iterdir()) == [f'{i}.txt' for i in range(5)]
    assert (tmp_path / 'sets/train.txt').read_text() == 'a\nb\n'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['maps', 'sets']


@pytest.mark.parametrize('processes', [1, 2])
def test_a_step_that_fails_leaves_nothing(plan, processes, tmp_path):
    plan.steps.insert(3, partial(fail, 'raw/3.png'))
    with pytest.raises(DataError, match=r'^raw/3\.png: broken$'):
        run(plan, 'maps', processes)
    assert [p for p in tmp_path.rglob('*') if p.is_file()] == []


def test_a_process_that_is_killed(plan, tmp_path):
    plan.steps.insert(0, partial(end, 9))
    with pytest.raises(DataError, match=r'maps: a process was killed.*--processes'):
        run(plan, 'maps', 2)
    assert not (tmp_path / 'maps').exists()


@pytest.mark.parametrize('name', ['maps', 'sets/train.txt'])
def test_nothing_is_overwritten(plan, name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('mine')
    with pytest.raises(DataError, match=f'{name} exists, and nothing is overwritten; remove it'):
        run(plan, 'maps', 1)
    assert path.read_text() == 'mine'
    assert sorted(p.name for p in tmp_path.rglob('*') if p.is_file()) == [path.name]


def test_what_a_killed_run_left_is_made_again(plan, tmp_path):
    write_lines(unfinished(tmp_path / 'maps') / 'old.txt', [])
    run(plan, 'maps', 1)
    assert not (tmp_path / 'maps/old.txt').exists()


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(DataError, match=r'file/a\.txt cannot be written: File exists'):
        write_lines(tmp_path / 'file/a.txt', [])
