"""The campaigns: how a case ended is told apart, inputs follow from the seed, sound ones pass."""

import os
import signal

import cv2
import pytest

from benchmarks.reliability import annotations, cases, checkpoints, configs, images, materials
from benchmarks.reliability.cases import Case, Late, Stopped, Wrong, run_cases
from hrdet.config import load_config
from hrdet.data import DataError


def raising(error):
    def work(folder):
        raise error

    return work


@pytest.mark.parametrize(
    ('work', 'kind'),
    [
        (lambda folder: (folder / 'made').write_text('x'), cases.ACCEPTED),
        (raising(DataError('a.json: entry 3: no box')), cases.REFUSED),
        (raising(SystemExit('error: a.json: no box')), cases.REFUSED),
        (raising(DataError('no box')), cases.UNCLEAR),
        (raising(Late('a.json')), cases.LATE),
        (raising(Stopped('not finite')), cases.STOPPED),
        (raising(Wrong('5 of 6 boxes')), cases.WRONG),
        (raising(KeyError('a.json')), cases.TRACEBACK),
        (lambda folder: os.kill(os.getpid(), signal.SIGKILL), cases.CRASH),
        (lambda folder: signal.pause(), cases.HANG),
    ],
)
def test_how_a_case_ended(work, kind, monkeypatch):
    monkeypatch.setattr(cases, 'IDLE_SECONDS', 0.2)
    (outcome,) = run_cases([Case('one', work, ('a.json',))])
    assert outcome.kind == kind, outcome


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sound')
    materials.make(folder)
    return folder


@pytest.mark.parametrize('campaign', [annotations, images, configs, checkpoints])
def test_inputs_follow_from_the_seed(base, campaign):
    names = [[c.name for c in campaign.cases(base, seed, 30)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == len(set(names[0])) == 30


def test_sound_inputs_are_accepted(base):
    """What the campaigns damage is right: else every refusal would count as one."""
    picture = cv2.imread(str(next((base / 'coco/train').glob('*.jpg'))))
    image = images.encoded(picture, 'png')
    sound = [Case('png', lambda folder: images.use('png', image, images.sound(image)))]
    for task in materials.TASKS:
        tree = load_config(materials.config_file(base, task)).to_dict()
        sound.append(Case(task, lambda folder, tree=tree: configs.train(tree)))
    assert {outcome.kind for outcome in run_cases(sound)} == {cases.ACCEPTED}
