"""Strategies of hypothesis that damage files and the values in them, as disks and people do."""

import json
import struct
import zlib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

NUMBERS = [
    *(0, -1, 1, 2**31, -(2**31), 2**53 + 1, 2**63, -(2**63), 10**400),
    *(0.5, -0.5, 1e-300, 1e30, 1e308, float('nan'), float('inf'), -float('inf')),
]
TEXTS = ['', ' ', '0', '-1', 'nan', '1e400', '../../etc/passwd', '/', 'a\x00b', '\ud800', 'é' * 300]
VALUES = [*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], [None], {'x': 1}, [1] * 7, [[1, 2, 3]]]

values = st.sampled_from(VALUES)
texts = st.sampled_from([*TEXTS, *map(str, NUMBERS)]) | st.text(max_size=12)


@st.composite
def damaged_values(draw, whole: Any, most: int = 3) -> Any:
    """A tree of lists and dicts with some parts replaced, removed, repeated or exchanged."""
    whole = deepcopy(whole)
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(whole))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        action = draw(st.sampled_from(['replace', 'replace', 'remove', 'repeat', 'exchange']))
        if action == 'replace':
            holder[key] = deepcopy(draw(values))
        elif action == 'remove':
            del holder[key]
        elif action == 'repeat' and isinstance(holder, list):
            holder.append(deepcopy(holder[key]))
        else:
            other, place = draw(st.sampled_from(places))
            holder[key] = deepcopy(other[place])
    return whole


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(list or dict, index or key) of every part of a tree."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, part in parts if isinstance(tree, (dict, list)) else ():
        yield tree, key
        if isinstance(part, (dict, list)):
            yield from _places(part)


@st.composite
def damaged_bytes(draw, data: bytes, most: int = 4) -> bytes:
    """A file that is cut, or in which bytes are changed, left out or put in."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        action = draw(st.sampled_from(['change', 'change', 'cut', 'leave out', 'put in']))
        if action == 'change' and data:
            data[place] = draw(st.integers(0, 255))
        elif action == 'cut':
            del data[place:]
        elif action == 'leave out':
            del data[place : place + draw(st.integers(1, 8))]
        else:
            data[place:place] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


def damaged_json(whole: Any) -> st.SearchStrategy[bytes]:
    """A JSON file, damaged as values or as bytes."""
    as_file = lambda tree: json.dumps(tree).encode()  # noqa: E731
    return damaged_values(whole).map(as_file) | damaged_bytes(as_file(whole))


@st.composite
def damaged_words(draw, text: str, most: int = 3) -> bytes:
    """A text file whose words are replaced, or damaged as bytes."""
    if draw(st.booleans()):
        return draw(damaged_bytes(text.encode()))
    parts = text.split(' ')
    for _ in range(draw(st.integers(1, most))):
        parts[draw(st.integers(0, len(parts) - 1))] = draw(texts)
    return ' '.join(parts).encode(errors='surrogatepass')


@st.composite
def strange_pngs(draw) -> bytes:
    """PNG files of right checksums, whose header and pixels need not belong together."""
    edges = st.sampled_from([0, 1, 8, 9, 2**15, 2**31 - 1, 2**32 - 1])
    depth = draw(st.sampled_from([0, 1, 2, 4, 8, 16, 255]))
    kind = draw(st.sampled_from([0, 1, 2, 3, 4, 6]))
    header = struct.pack(
        '>IIBBBBB', draw(edges), draw(edges), depth, kind, 0, 0, draw(st.booleans())
    )
    pixels = zlib.compress(draw(st.binary(max_size=400)))
    chunks = [(b'IHDR', header), (b'IDAT', pixels), (b'IEND', b'')]
    if draw(st.booleans()):
        chunks.insert(1, (b'PLTE', draw(st.binary(max_size=12))))
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
        for name, body in chunks
    )
