"""Every value knows the file and line that wrote it."""

import pytest

from hrdet.config import load_config
from hrdet.config.config import OVERRIDE, origins_of


@pytest.fixture
def origins(tmp_path, monkeypatch):
    """The lines of a config's values by path; those of other files with the file."""
    monkeypatch.chdir(tmp_path)

    def read(text, overrides=None, **bases):
        for name, base in bases.items():
            (tmp_path / f'{name}.py').write_text(base)
        (tmp_path / 'mine.py').write_text(text)
        found = origins_of(load_config('mine.py', overrides))
        return {path: origin.removeprefix('mine.py:') for path, origin in found.items()}

    return read


def test_lines_of_literals(origins):
    found = origins("""model = dict(
    type='A',
    neck={
        'stride': 2,
    },
    heads=[
        dict(type='B'),
        dict(
            type='C',
        ),
    ],
)
seed = 3
""")
    assert found == {
        'model': '1',
        'model.type': '2',
        'model.neck': '3',
        'model.neck.stride': '4',
        'model.heads': '6',
        'model.heads[0].type': '7',
        'model.heads[1].type': '9',
        'seed': '13',
    }


def test_variables_and_merged_dicts(origins):
    found = origins("""_norm = dict(
    mean=1,
)
_images = dict(
    type='A', norm=_norm,
)
data = dict(
    train=dict(
        flip=1, **_images),
    val=dict(_images, type='B'),
    test=_images | dict(type='C'),
    more=dict(zip(['x'], [1])),
)
""")
    assert found['data.train.flip'] == '9'
    assert found['data.train.norm'] == found['data.val.norm'] == found['data.test.norm'] == '5'
    assert found['data.train.norm.mean'] == '2'
    assert (found['data.val.type'], found['data.test.type']) == ('10', '11')
    assert found['data.more.x'] == '12', 'what is computed has the line of what computes it'


def test_a_variable_changes_on_the_way(origins):
    found = origins("""model = dict(a=1, b=dict(c=1), steps=[dict(x=1)])
model = dict(
    model,
    d=2)
model['b']['c'] = 5
model['b']['new'] = dict(
    deep=1)
model['steps'][0]['x'] = 7
model |= dict(a=6)
first, second = 1, 2
""")
    assert found == {
        'model': '9',
        'model.a': '9',
        'model.b': '6',
        'model.b.c': '5',
        'model.b.new': '6',
        'model.b.new.deep': '7',
        'model.steps': '8',
        'model.steps[0].x': '8',
        'model.d': '4',
        'first': '10',
        'second': '10',
    }


def test_the_branch_that_ran(origins):
    found = origins("""if True:
    model = dict(a=1)
else:
    model = dict(a=2)
for i in range(3):
    seed = i
try:
    seed = dict()['x']
except KeyError:
    pass
""")
    assert found == {'model': '2', 'model.a': '2', 'seed': '6'}


def test_bases_and_overrides(origins):
    base = (
        'model = dict(\n    a=1,\n    b=dict(c=2, d=3),\n)\ndata = dict(n=1, train=[dict(x=1)])\n'
    )
    found = origins(
        "_base_ = 'base.py'\nmodel = dict(b=dict(c=4))\nseed = _base_.data.n\n",
        {'data.train.0.x': 2, 'data.val': dict(y=1)},
        base=base,
    )
    assert found == {
        'model': '2',
        'model.a': 'base.py:2',
        'model.b': '2',
        'model.b.c': '2',
        'model.b.d': 'base.py:3',
        'data': 'base.py:5',
        'data.n': 'base.py:5',
        'data.train': 'base.py:5',
        'data.train[0].x': OVERRIDE,
        'data.val': OVERRIDE,
        'data.val.y': OVERRIDE,
        'seed': '3',
    }


def test_what_is_taken_from_a_base_keeps_its_lines(origins):
    found = origins(
        "_base_ = 'base.py'\nother = _base_.model\n", base='model = dict(\n    a=1,\n)\n'
    )
    assert (found['other'], found['other.a']) == ('2', 'base.py:2')
