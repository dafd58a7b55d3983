"""The table and the page it is put into."""

import dataclasses

import pytest

from benchmarks.harness import Row, Spread
from benchmarks.report import BEGIN, END, number, table, write

ROW = Row(
    'work',
    'cpu',
    'time',
    'hrdet',
    'peer',
    Spread(0.0123, 0.012, 0.013),
    Spread(1.5, 1.4, 1.7),
    Spread(122.0, 110.0, 130.0),
    'identical',
    0.5,
)


def test_a_line_of_the_table():
    line = table([ROW]).splitlines()[-1]
    assert line == (
        '| work | cpu | hrdet | 12.3 (12.0-13.0) ms | peer | 1.50 (1.40-1.70) s '
        '| **122 (110-130)** | identical |'
    )
    alone = dataclasses.replace(ROW, peer=None, theirs=None, ratio=None, measure='peak')
    assert '| work: peak memory | cpu | hrdet | 0 MB | none installed |  |  |' in table([alone])


def test_numbers_keep_three_digits():
    assert number(Spread(1234.5, 1000.4, 0.012345)) == '1234 (1000-0.0123)'


def test_rows_are_replaced_or_added_and_the_page_around_them_stays(tmp_path):
    page = tmp_path / 'speed.md'
    page.write_text(f'Before.\n\n{BEGIN}\nold\n{END}\n\nAfter {{}}.\n')
    write(page, [ROW], '- a machine')
    other = dataclasses.replace(ROW, case='other', device='cuda')
    faster = dataclasses.replace(ROW, agreement='changed')
    write(page, [other, faster], '- another machine')
    text = page.read_text()
    assert text.startswith('Before.\n')
    assert text.endswith('After {}.\n')
    assert 'old' not in text
    assert 'identical |\n' in text
    assert text.count('| work |') == text.count('| other |') == 1
    assert '| work | cpu | hrdet' in text
    assert 'changed' in text
    assert 'On cuda:\n\n- another machine' in text
    write(page, [dataclasses.replace(ROW, measure='cpu')], '- a busy machine', ['toys'])
    text = page.read_text()
    assert 'On cpu, toys:\n\n- a busy machine' in text
    assert 'On cpu:\n\n- another machine' in text
    assert '| work: CPU time |' in text


def test_a_page_without_a_place_for_the_table(tmp_path):
    page = tmp_path / 'speed.md'
    page.write_text('nothing here')
    with pytest.raises(ValueError, match='needs one line'):
        write(page, [ROW], '')
    assert page.read_text() == 'nothing here'
