"""JSON files read by orjson, where it is installed, as the standard library reads them."""

import gc
import json
import math
from types import SimpleNamespace

import pytest

from hrdet import json_files
from hrdet.json_files import collector_paused, read_json


def refuse(_):
    raise Refused


class Refused(ValueError):
    pass


# What every orjson refuses is left to json; without orjson json reads all.
PARSERS = {
    'as installed': json_files.orjson,
    'without orjson': None,
    'refused by orjson': SimpleNamespace(loads=refuse, JSONDecodeError=Refused),
}


@pytest.mark.parametrize('parser', PARSERS)
def test_what_json_reads(tmp_path, monkeypatch, parser):
    monkeypatch.setattr(json_files, 'orjson', PARSERS[parser])
    path = tmp_path / 'a.json'
    content = {'a': [1, -2.5e-7, None, True, 'é😀'], '': {'b': 0.1 + 0.2, 'c': 2**63}}
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False, indent=1)):
        path.write_bytes(text.encode())
        assert read_json(path) == content
    path.write_text('[NaN, Infinity, "\\ud800"]')
    number, infinity, surrogate = read_json(str(path))
    assert math.isnan(number)
    assert (infinity, surrogate) == (math.inf, '\ud800')
    path.write_bytes('[1]'.encode('utf-16'))
    assert read_json(path) == [1]


@pytest.mark.parametrize('parser', PARSERS)
@pytest.mark.parametrize('text', ['', '{"images": [', '[1] 2', b'"\xff"'.decode('latin-1')])
def test_what_is_no_json(tmp_path, monkeypatch, parser, text):
    monkeypatch.setattr(json_files, 'orjson', PARSERS[parser])
    path = tmp_path / 'a.json'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(ValueError):
        read_json(path)
    assert gc.isenabled()


def test_the_collector_runs_again_only_if_it_did():
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
