"""docs/architecture.md says of every package what its docstring and the import contract say."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / 'docs/architecture.md').read_text(encoding='utf-8')
PACKAGES = sorted(path.parent for path in (ROOT / 'hrdet').glob('**/__init__.py'))[1:]
FILES = sorted(path for path in (ROOT / 'hrdet').glob('*.py') if path.name != '__init__.py')


def plain(text: str) -> str:
    """In one line, without marks of emphasis and code."""
    return ' '.join(re.sub(r'[`*]', '', text).split())


def paragraphs(path: Path) -> list[str]:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    return [plain(part) for part in docstring.split('\n\n')]


@pytest.mark.parametrize('package', PACKAGES, ids=lambda path: path.name)
def test_every_package_is_described_as_in_its_docstring(package):
    name = str(package.relative_to(ROOT / 'hrdet'))
    purpose, *more = paragraphs(package / '__init__.py')
    if package.parent.name == 'hrdet':
        (change,) = (part for part in more if part.startswith('May change: '))
        assert ' Must stay: ' in change
        assert f' hrdet/{name} {purpose} {change} ' in plain(PAGE)
    else:
        assert f'{name} {purpose} ' in plain(PAGE)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.stem)
def test_every_single_file_is_described(path):
    assert f'{path.name} {paragraphs(path)[0]}' in plain(PAGE)


def test_the_diagram_is_the_order_that_import_linter_checks():
    contract = (ROOT / 'pyproject.toml').read_text(encoding='utf-8').split('layers = [')[1]
    layers = [
        layer.replace('hrdet.', '') for layer in re.findall(r'"([^"]+)"', contract.split(']')[0])
    ]
    diagram = PAGE.split('```')[1].strip().split('\n')
    assert [re.split(r' {2,}', line)[0] for line in diagram] == ['tools', *layers]
