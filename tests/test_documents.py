"""Links between the documents lead to files that exist; what they quote is in the code."""

import ast
import re
from pathlib import Path

import pytest

import hrdet

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'benchmarks').glob('*.md')]


@pytest.mark.parametrize('page', sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links(page):
    targets = re.findall(r'\]\(([^)\s]+)\)', page.read_text(encoding='utf-8'))
    local = [target.split('#')[0] for target in targets if '://' not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_messages_of_troubleshooting_are_those_of_the_code():
    page = (ROOT / 'docs/troubleshooting.md').read_text(encoding='utf-8')
    section = page.split('## By message')[1].split('\n## ')[0]
    cells = re.findall(r'^\| (.*?) \|', section, re.MULTILINE)[2:]
    pieces = [
        piece.strip()
        for cell in cells
        for code in re.findall('`([^`]+)`', cell)
        for piece in code.split('...')
        if piece.strip()
    ]
    trees = [ast.parse(file.read_text()) for file in (ROOT / 'hrdet').rglob('*.py')]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    texts = '\n'.join(node.value for node in nodes if isinstance(node.value, str))
    assert len(pieces) > 20
    assert [piece for piece in pieces if piece not in texts] == []


def test_version_is_the_same_everywhere():
    heading = re.search(r'^## (\S+)', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)[1]
    cited = re.search(r'^version: (\S+)', (ROOT / 'CITATION.cff').read_text(), re.MULTILINE)[1]
    assert heading.rstrip(',') == cited == hrdet.__version__
