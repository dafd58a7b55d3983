"""The pages of the site that are made from the code, and links from page to page."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope='module')
def hooks():
    spec = importlib.util.spec_from_file_location('hooks', ROOT / 'docs/site/hooks.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_part_of_a_config_is_in_the_reference(hooks):
    page = hooks.parts_page()
    from hrdet import registry

    for name in registry._CLASSES:
        if registry._CLASSES[name].__module__.startswith('hrdet.'):
            assert re.search(rf'^### .*\b{name}\b', page, re.MULTILINE), name
    assert '| `width` |' in page
    assert '| `norm_eval` | one of True, False | `True` |' in page


def test_the_python_api_is_that_of_the_package(hooks):
    page = hooks.api_page()
    import importlib

    for name in re.findall(r'^::: (.+)$', page, re.MULTILINE):
        module, _, item = name.rpartition('.')
        assert hasattr(importlib.import_module(module), item), name


def test_links(hooks):
    pages = {'INSTALL.md', 'scaling.md', 'results/memory.md'}
    files = SimpleNamespace(get_file_from_path=lambda path: path if path in pages else None)

    def shown(text, page):
        page = SimpleNamespace(file=SimpleNamespace(src_uri=page))
        return hooks.on_page_markdown(text, page, None, files)

    assert shown('[a](docs/scaling.md#starting)', 'index.md') == '[a](scaling.md#starting)'
    assert shown('[a](../INSTALL.md)', 'scaling.md') == '[a](INSTALL.md)'
    assert shown('[a](../scaling.md)', 'results/memory.md') == '[a](../scaling.md)'
    assert shown('[a](hrdet/apis.py)', 'index.md') == 'a'  # code is not on the site
    assert shown('[a](none.md)', 'index.md') == '[a](none.md)'  # mkdocs tells
    assert shown('[a](https://x.org/y)', 'index.md') == '[a](https://x.org/y)'


def test_every_page_is_in_the_navigation():
    nav = set(
        re.findall(r': (\S+\.md)$', (ROOT / 'docs/site/mkdocs.yml').read_text(), re.MULTILINE)
    )
    pages = {path.relative_to(ROOT / 'docs').as_posix() for path in (ROOT / 'docs').rglob('*.md')}
    assert pages <= nav
