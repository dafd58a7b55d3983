"""Follow the pickle of a checkpoint without making anything: its storages, and what it may cost.

torch's safe reader executes nothing, but it trusts sizes, makes tensors of whatever is in memory,
and hashes values of any depth.
"""

import pickletools
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, BinaryIO

# Bytes of an element of torch.FloatStorage and so on.
_BYTES = dict(Double=8, Float=4, Half=2, BFloat16=2, Long=8, Int=4, Short=2, Char=1, Byte=1, Bool=1)
_BYTES |= dict(ComplexDouble=16, ComplexFloat=8, QInt32=4, QInt8=1, QUInt8=1, QUInt4x2=1)
_BYTES |= dict(QUInt2x4=1, Untyped=1)
_MAX_DEPTH = 100  # values within each other
_MAX_PARTS = 30_000_000  # of all values together; those that are used twice count twice

_PLAIN = {'NONE', 'NEWTRUE', 'NEWFALSE', 'BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT'}
_PLAIN |= {'BINUNICODE', 'SHORT_BINSTRING'}
_EMPTY = {'EMPTY_DICT', 'EMPTY_LIST', 'EMPTY_SET', 'EMPTY_TUPLE'}
_TUPLES = dict(TUPLE1=1, TUPLE2=2, TUPLE3=3)


class Value:
    """Stands for a tuple, list, dict or object, by its parts, or for a class or function by name.

    A dict has its keys and values as parts, an object its arguments and state.
    """

    __slots__ = ('count', 'depth', 'name', 'parts', 'used')

    def __init__(self, name: str = '') -> None:
        self.name, self.parts = name, []
        self.depth, self.count, self.used = 1, 1, False


class Pickle:
    """One pickle, as far as torch's safe reader reads it.

    Args:
        file: open where the pickle begins; afterwards it is where the pickle ends.

    Attributes:
        sizes: the bytes of each storage, by its key.
        value: what was pickled.

    Raises:
        ValueError, LookupError, AttributeError: torch would not read it, or it is hostile.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.sizes: dict[str, int] = {}
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._count = 0
        for opcode, argument, _ in pickletools.genops(file):
            self._follow(opcode.name, argument)
        self.value = self._stack.pop()

    def _follow(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        # 1. Plain values, and those that come again.
        if opcode in _PLAIN:
            stack.append(argument)
        elif opcode in ('BINGET', 'LONG_BINGET'):
            stack.append(self._memo[argument])
        elif opcode in ('BINPUT', 'LONG_BINPUT'):
            self._memo[argument] = stack[-1]
        # 2. Collections.
        elif opcode in _EMPTY:
            stack.append(Value())
        elif opcode == 'MARK':
            self._marked.append(stack)
            self._stack = []
        elif opcode in ('TUPLE', 'APPENDS', 'SETITEMS'):
            self._stack = self._marked.pop()
            if opcode == 'TUPLE':
                self._stack.append(Value())
            self._add(self._stack[-1], stack)
        elif opcode in _TUPLES:
            parts = [stack.pop() for _ in range(_TUPLES[opcode])][::-1]
            stack.append(self._add(Value(), parts))
        elif opcode == 'APPEND':
            self._add(stack[-2], [stack.pop()])
        elif opcode == 'SETITEM':
            self._add(stack[-3], [stack.pop(), stack.pop()])
        else:
            self._follow_object(opcode, argument)

    def _follow_object(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        if opcode == 'GLOBAL':
            stack.append(Value(argument.replace(' ', '.')))
        elif opcode in ('REDUCE', 'NEWOBJ'):
            arguments, function = stack.pop(), stack.pop()
            _check_call(function.name, getattr(arguments, 'parts', ()))
            stack.append(self._add(Value(), [arguments]))
        elif opcode == 'BUILD':
            _check_state(stack[-1].parts)
            self._add(stack[-2], [stack.pop()])
        elif opcode == 'BINPERSID':
            key, size = _storage(stack.pop().parts)
            if self.sizes.setdefault(key, size) != size:
                raise ValueError(
                    f'the record data/{key} is to be {self.sizes[key]} and {size} bytes'
                )
            stack.append(Value())
        elif opcode not in ('PROTO', 'STOP'):
            raise ValueError(f'torch writes no {opcode} into its pickles')

    def _add(self, value: Value, parts: Sequence[Any]) -> Value:
        """Add parts to a value, and count them, so that neither hashing nor walking it is long."""
        if value.used:  # it would be counted as it was
            raise ValueError('a value changes after it became a part of another')
        for part in parts:
            value.parts.append(part)
            if isinstance(part, Value):
                value.depth = max(value.depth, part.depth + 1)
                value.count += part.count
                self._count += part.count
                part.used = True
        self._count += len(parts)
        value.count += len(parts)
        if value.depth > _MAX_DEPTH:
            raise ValueError(f'more than {_MAX_DEPTH} values are within each other')
        if self._count > _MAX_PARTS:
            raise ValueError(f'its values have more than {_MAX_PARTS:,} parts')
        return value


def _check_call(function: str, arguments: Sequence[Any]) -> None:
    """Refuse calls that torch's safe reader makes and no checkpoint needs."""
    if not function:
        raise ValueError('a call of something that has no name')
    if function.endswith(('Tensor', 'Storage')):
        raise ValueError(f'{function}(...) would be filled with whatever is in memory')
    if function == 'torch._tensor._rebuild_from_type_v2':  # calls its first argument
        called = getattr(arguments[0], 'name', '')
        if not called.startswith('torch._utils._rebuild_'):
            raise ValueError(f'{function} of {called or "no function"}')
    if function == '_codecs.encode' and arguments[1] not in ('latin1', 'latin-1'):
        raise ValueError(f'{function} in {arguments[1]!r}')  # other codecs may grow the text
    if function.endswith('.bytearray') and any(type(one) is int for one in arguments):
        raise ValueError(f'{function} of a number')


def _check_state(parts: Sequence[Any]) -> None:
    """Refuse attributes that would take the place of a method of the dict that gets them."""
    for part in parts:
        if isinstance(part, str) and hasattr(OrderedDict, part):
            raise ValueError(f'a state with the name {part!r}')


def _storage(parts: Sequence[Any]) -> tuple[str, int]:
    """Key and bytes of a storage from its persistent id."""
    tag, kind, key, _, count = parts[:5]  # old files have a sixth, about views
    found = re.fullmatch(r'torch\.(?:\w+\.)*(\w+)Storage', kind.name)
    if tag != 'storage' or type(key) is not str or type(count) is not int or count < 0:
        raise ValueError(f'a storage of key {key!r} and size {count!r}')
    if found is None or found[1] not in _BYTES:
        raise ValueError(f'a storage of kind {kind.name!r}')
    return key, count * _BYTES[found[1]]
