"""The registry builds strictly and its errors say where, what and how to mend it."""

from collections.abc import Sequence
from typing import Annotated, Literal

import pytest

from hrdet.registry import ConfigError, build, check, check_value, register


@register('RegistryTestWheel')
class Wheel:
    def __init__(self, size, spokes=8):
        self.size, self.spokes = size, spokes


@register('RegistryTestBicycle', 'RegistryTestBike')
class Bicycle:
    def __init__(self, wheels, **options):
        self.wheels, self.options = wheels, options


def test_builds_bottom_up_through_lists_tuples_and_plain_dicts():
    wheel = {'type': 'RegistryTestWheel', 'size': 28}
    bike = build({'type': 'RegistryTestBike', 'wheels': [wheel, wheel], 'bag': {'back': (wheel,)}})
    assert isinstance(bike, Bicycle)
    assert [w.size for w in bike.wheels] == [28, 28]
    assert bike.wheels[0] is not bike.wheels[1]
    assert isinstance(bike.options['bag']['back'][0], Wheel)


@register('RegistryTestTandem')
class Tandem(Bicycle):
    def __init__(self, seats=2, **others):
        super().__init__(**others)


@register('RegistryTestSmallWheel')
class SmallWheel(Wheel):
    def __init__(self, size=12, colour='red', **others):
        super().__init__(size, **others)


@register('RegistryTestTinyWheel')
class TinyWheel(SmallWheel):
    def __init__(self, **others):
        super().__init__(size=6, **others)


def test_other_arguments_are_those_of_the_class_that_is_extended():
    assert build({'type': 'RegistryTestSmallWheel', 'spokes': 3}).spokes == 3
    assert build({'type': 'RegistryTestTandem', 'wheels': [], 'bag': 1}).options == {'bag': 1}
    with pytest.raises(ConfigError, match=r"model\.spoke: .*'spokes'.* size, spokes, colour\)$"):
        build({'type': 'RegistryTestTinyWheel', 'spoke': 3}, 'model')
    with pytest.raises(ConfigError, match=r'model\.wheels: Tandem needs this argument'):
        build({'type': 'RegistryTestTandem'}, 'model')


def test_live_objects_and_classes_pass_through():
    wheel = Wheel(3)
    assert build({'type': Bicycle, 'wheels': [wheel]}).wheels == [wheel]


def test_extra_arguments_reach_the_outermost_constructor_only():
    bike = build({'type': 'RegistryTestBike', 'wheels': []}, color='red')
    assert bike.options == {'color': 'red'}


@register('RegistryTestHub')
class Hub:
    def __init__(self, metal, width=5):
        self.metal, self.width = metal, width


@register('RegistryTestFrame')
class Frame:
    passes_on = ('metal',)

    def __init__(self, parts, metal='steel'):
        self.parts, self.metal = parts, metal


def test_what_a_class_passes_on_reaches_every_part_that_takes_it():
    own = {'type': 'RegistryTestHub', 'metal': 'brass'}
    wheel = {'type': 'RegistryTestWheel', 'size': {'type': 'RegistryTestHub'}}
    frame = build({'type': 'RegistryTestFrame', 'metal': 'iron', 'parts': [own, {'deep': wheel}]})
    assert (frame.metal, frame.parts[0].metal) == ('iron', 'brass')
    assert frame.parts[1]['deep'].size.metal == 'iron'
    with pytest.raises(ConfigError, match=r'model\.parts\[0\]\.metal: Hub needs this argument'):
        build({'type': 'RegistryTestFrame', 'parts': [{'type': 'RegistryTestHub'}]}, 'model')
    with pytest.raises(ConfigError, match=r'model\.metal: Hub needs this argument'):
        build({'type': 'RegistryTestHub'}, 'model')


def test_node_is_not_changed():
    node = {'type': 'RegistryTestWheel', 'size': 1}
    build(node)
    assert node == {'type': 'RegistryTestWheel', 'size': 1}


@pytest.mark.parametrize(
    ('node', 'words'),
    [
        ({'type': 'RegistryTestWeel'}, ['model.type', 'RegistryTestWheel', 'custom_imports']),
        (
            {'type': 'RegistryTestWheel', 'sice': 3},
            ['model.sice', "did you mean 'size'", '(accepted: size, spokes)'],
        ),
        ({'type': 'RegistryTestWheel'}, ['model.size', 'needs this argument']),
        (
            {
                'type': 'RegistryTestBike',
                'wheels': [{'type': 'RegistryTestWheel', 'size': 1, 'x': 2}],
            },
            ['model.wheels[0].x', 'no such key'],
        ),
    ],
)
def test_errors_name_path_nearest_and_accepted(node, words):
    with pytest.raises(ConfigError) as error:
        build(node, 'model')
    for word in words:
        assert word in str(error.value)


def test_a_constructor_that_refuses_a_value_is_named_with_its_path():
    @register('RegistryTestPicky')
    class Picky:
        def __init__(self, value):
            raise ValueError(f'value must be even, not {value}')

    with pytest.raises(ConfigError, match=r'model.a \(Picky\): value must be even, not 3'):
        build({'a': {'type': 'RegistryTestPicky', 'value': 3}}, 'model')


def test_a_name_belongs_to_one_class():
    with pytest.raises(ConfigError, match='belongs to'):

        @register('RegistryTestWheel')
        class Other:
            pass


@register('RegistryTestBrake')
class Brake:
    def __init__(self, front: bool, back=True, force: bool | float = True):
        self.state = front, back, force


@pytest.mark.parametrize('values', [dict(front='no'), dict(front=True, back='off'), dict(front=1)])
def test_a_switch_is_true_or_false(values):
    """Any word would count as true."""
    with pytest.raises(
        ConfigError, match=r"brake\.(front|back): ('no'|'off'|1) is not one of True, False"
    ):
        build({'type': 'RegistryTestBrake', **values}, 'brake')
    build({'type': 'RegistryTestBrake', 'front': False, 'back': False, 'force': 0.5})


@register('RegistryTestGears')
class Gears:
    def __init__(
        self,
        count: int = 3,
        ratio: float = 1.0,
        name: str | None = None,
        teeth: Sequence[int] = (),
        span: tuple[float, float] = (0, 1),
        wheel: Wheel | None = None,
        side: Literal['left', 'right'] = 'left',
        odd: Annotated[int, 'an odd integer', lambda n: n % 2] = 1,
        **others,
    ):
        self.count = count


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        (dict(count=2.0), 'count: 2.0 is not an integer$'),
        (dict(count=True), 'count: True is not an integer'),
        (dict(count={}), 'count: {} is not an integer'),
        (dict(ratio='5'), "ratio: '5' is not a finite number"),
        (dict(ratio=float('nan')), 'ratio: nan is not a finite number'),
        (dict(ratio=float('inf')), 'ratio: inf is not a finite number'),
        (dict(ratio=1e30), r'ratio: 1e\+30 is not a finite number below 9e\+18'),
        (dict(ratio=None), 'ratio: None is not a finite number'),
        (dict(name=3), 'name: 3 is not a string or None'),
        (dict(teeth=[8, 0.5]), r'teeth\[1\]: 0.5 is not an integer'),
        (dict(teeth=8), r'teeth: 8 is not a list \(each an integer\)'),
        (dict(teeth='88'), r"teeth: '88' is not a list \(each an integer\)"),
        (dict(span=(1,)), r'span: \(1,\) is not a list \(a finite number, a finite number\)'),
        (dict(side='lft'), "side: 'lft' is not one of 'left', 'right'; did you mean 'left'"),
        (dict(odd=4), 'odd: 4 is not an odd integer'),
        (dict(odd='x'), "odd: 'x' is not an odd integer"),
    ],
)
def test_values_have_the_type_of_their_argument(values, message):
    with pytest.raises(ConfigError, match=r'bike\.' + message):
        build({'type': 'RegistryTestGears', **values}, 'bike')


def test_values_that_fit():
    wheel = {'type': 'RegistryTestWheel', 'size': object()}
    values = dict(count=2**62, ratio=2**62, name='x', teeth=(1, 2), span=[0, 2.5], wheel=wheel)
    assert build({'type': 'RegistryTestGears', **values, 'more': 1}).count == 2**62


def test_check_finds_mistakes_without_building():
    bike = {'type': 'RegistryTestBike', 'wheels': [{'type': 'RegistryTestPickier', 'value': 3}]}

    @register('RegistryTestPickier')
    class Pickier:
        def __init__(self, value: int):
            raise AssertionError('built')

    check(bike)
    check({'type': 'RegistryTestPickier'}, value=3)
    bike['wheels'][0]['valu'] = 3
    with pytest.raises(ConfigError, match=r"x\.wheels\[0\]\.valu: .*did you mean 'value'"):
        check(bike, 'x')
    bike['wheels'] = [{'type': 'RegistryTestWheel', 'size': 1, 'spokes': wheelless()}]
    check(bike)


def wheelless():
    return {'type': 'RegistryTestWheel', 'size': 2}


def test_errors_name_the_file_that_wrote_the_value():
    error = ConfigError('model.neck.strid: there is no such key here')
    error.locate({'model': 'a.py:1', 'model.neck': 'a.py:2', 'model.neck.strid': 'b.py:7'})
    error.locate({'model': 'other.py:1'})
    assert str(error) == 'model.neck.strid, written in b.py:7: there is no such key here'
    error = ConfigError('model.heads[1].size (Head): too large')
    error.locate({'model.heads': 'a.py:3'})
    message = 'model.heads[1].size, in the section written in a.py:3 (Head): too large'
    assert str(error) == message


@pytest.mark.parametrize('kind', [0.5, None, {'a': 1}, ['Part']])
def test_a_type_is_a_name_or_a_class(kind):
    with pytest.raises(ConfigError, match=r'model\.head\.type: .* is not the name of a class'):
        build(dict(head=dict(type=kind)), 'model')


@pytest.mark.parametrize('value', [10**400, -(10**400), 2**63])
@pytest.mark.parametrize('annotation', [int, float, int | None])
def test_integers_beyond_those_of_c_are_no_numbers(value, annotation):
    with pytest.raises(ConfigError, match='lr: '):
        check_value(value, annotation, 'lr')
