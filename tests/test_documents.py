"""Links between the documents lead to files that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'benchmarks').glob('*.md')]


@pytest.mark.parametrize('page', sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links(page):
    targets = re.findall(r'\]\(([^)\s]+)\)', page.read_text(encoding='utf-8'))
    local = [target.split('#')[0] for target in targets if '://' not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []
