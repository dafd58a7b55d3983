"""Commands and snippets of the documents fit the tools, configs and names that there are.

Commands are parsed by their tools, and the configs that they name are lowered; the tools themselves
are run by tests/tools and by .ci/try_wheel.
"""

import ast
import functools
import importlib
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from hrdet import completion, zoo
from hrdet.__main__ import COMMANDS, tools_folder
from hrdet.config import load_config, lower

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    path
    for path in (*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), ROOT / 'benchmarks/README.md')
    if path.name != 'CHANGELOG.md'
]
# What stands for any config, or any model.
DETECTOR = 'configs/quickstart/faster_rcnn_hrnetv2p_w18_small.py'
PLACEHOLDERS = dict.fromkeys(('MODEL', 'NAME'), 'faster_rcnn_hrnetv2p_w18_1x') | {
    'CONFIG': DETECTOR
}
# Configs that a page tells its readers to write.
THEIRS = re.compile(r'work_dirs/|mine/|configs/mine/|\w+\.py$|.*CONFIG_')
PROGRAM = re.compile(r'(python|make|pip|torchrun) |hrdet [a-z-]+( |$)')
# Of other projects, in docs/migration.md.
FOREIGN = ('tools/train.py CONFIG --validate', 'tools/benchmark.py CONFIG CKPT')


class Block(NamedTuple):
    """A block of code of a page, by the language of its fence."""

    page: str
    line: int
    language: str
    text: str


def blocks(path: Path) -> Iterator[Block]:
    """Fenced and indented blocks."""
    page, text = str(path.relative_to(ROOT)), path.read_text(encoding='utf-8')
    pattern = r'^```(\w*)\n([\s\S]*?)^```|(?<=\n\n)((?:    .*\n|\n(?=    ))+)'
    for found in re.finditer(pattern, text, re.MULTILINE):
        line = text.count('\n', 0, found.start()) + 1
        language, fenced, indented = found.groups()
        code = fenced if indented is None else re.sub('^    ', '', indented, flags=re.MULTILINE)
        yield Block(page, line, language or '', code)


def commands(path: Path) -> Iterator[tuple[str, str]]:
    """(place, command) of the blocks, and of the code in sentences."""
    for block in blocks(path):
        for line in re.sub(r'\\\n\s*', ' ', block.text).split('\n'):
            for part in line.split(' && '):
                part = re.sub(r'^(\w+=\S+ |\.venv/bin/|srun |# )*', '', part)
                if PROGRAM.match(part):
                    yield f'{block.page}:{block.line}', part
    prose = re.sub(r'^```.*?^```', '', path.read_text(encoding='utf-8'), flags=re.M | re.S)
    for code in re.findall(r'`([^`\n]+)`', prose):
        code = re.sub(r'^(\w+=\S+ )*', '', code)
        tool_alone = code.startswith('tools/') and ' ' in code and code not in FOREIGN
        if PROGRAM.match(code) or tool_alone:
            yield str(path.relative_to(ROOT)), code


@functools.cache
def tool(path: Path):
    """A command's module; importing one does not run it."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_tool(path: Path, words: list[str], monkeypatch) -> None:
    """The arguments are those of the tool, and its config can be lowered."""
    assert path.is_file(), 'there is no such tool'
    if not words or (words[0].startswith('--') and path.stem != 'check_dataset'):
        # A sentence about an option.
        assert set(completion.options(path)).issuperset(words[:1])
        return
    arguments = [PLACEHOLDERS.get(word, word) for word in words]
    monkeypatch.setattr(sys, 'argv', [path.name, *arguments])
    parse = tool(path).parse_args
    args = parse(*([None] if parse.__code__.co_argcount and not parse.__defaults__ else []))
    config = getattr(args, 'config', None)
    if config and not THEIRS.match(config):
        with_options = load_config(
            ROOT / config if '/' in config else config, getattr(args, 'cfg_options', None)
        )
        lower(with_options)


def check_python(words: list[str], monkeypatch) -> None:
    """``python ...``: a script, a tool or a module."""
    if words[0] != '-m':
        check_words(words, monkeypatch)
        return
    module, *rest = words[1:]
    if module == 'torch.distributed.launch':
        check_words(_after_launcher(rest), monkeypatch)
        return
    monkeypatch.syspath_prepend(ROOT)
    assert importlib.util.find_spec(module), 'there is no such module'
    if module == 'pytest':
        assert all((ROOT / word).exists() for word in rest if word.startswith('tests'))
    elif module in ('benchmarks', 'benchmarks.scaling'):
        name = f'{module}.__main__' if module == 'benchmarks' else module
        importlib.import_module(name).parse_args([word for word in rest if word != '--help'])


def check_words(words: list[str], monkeypatch) -> None:
    """One command."""
    program, *rest = words
    if program == 'python':
        check_python(rest, monkeypatch)
    elif program.startswith('tools/'):
        if program.endswith('.py') and rest[:1] != ['...']:
            check_tool(ROOT / program, rest, monkeypatch)
    elif program == 'hrdet':
        if rest and rest[0] not in ('--help', 'COMMAND'):
            name, *rest = rest
            assert name in COMMANDS, 'there is no such command'
            if COMMANDS[name][0] and rest:
                check_tool(tools_folder() / COMMANDS[name][0], rest, monkeypatch)
    elif program == 'torchrun':
        check_words(_after_launcher(rest), monkeypatch)
    elif program == 'make':
        targets = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), re.MULTILINE)[1]
        assert set(targets.split()).issuperset(word for word in rest if '=' not in word)
    elif program == 'pip':
        _check_pip(rest)


def _after_launcher(words: list[str]) -> list[str]:
    start = next(index for index, word in enumerate(words) if word.startswith('tools/'))
    return words[start:]


def _check_pip(words: list[str]) -> None:
    for word, following in zip(words, [*words[1:], '']):
        assert word != '-r' or (ROOT / following).is_file()
        extras = re.search(r'(?:hrdet|^\.)\[(.*)\]', word)
        known = set(re.findall(r"^ +'(\w+)': ", (ROOT / 'setup.py').read_text(), re.MULTILINE))
        assert extras is None or known.issuperset(extras[1].split(','))


@pytest.mark.parametrize('path', PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands(path, monkeypatch, capsys):
    wrong = []
    for place, text in commands(path):
        # [what may be left out | another choice]; what is not for the tool.
        plain = re.sub(r'\[([-\w ]+?)(?: \|[^\]]*)?\]', r'\1', text)
        plain = re.split(r' > | 2>| \| ', plain)[0].removesuffix(' ...')
        with monkeypatch.context() as patched:
            try:
                check_words(shlex.split(plain, comments=True), patched)
            except (Exception, SystemExit) as error:
                told = capsys.readouterr().err.strip().split('\n')[-1]
                wrong.append(f'{place}: {text}\n    {error} {told}')
    assert not wrong, '\n'.join(wrong)


def snippets() -> list[Block]:
    """The blocks of Python: programs and configs."""
    found = []
    for path in PAGES:
        for block in blocks(path):
            if block.language not in ('', 'python'):
                continue
            lines = [line for line in block.text.split('\n') if not PROGRAM.match(line)]
            text = '\n'.join(lines)
            starts = r'^(import |from |_base_ =|data = |model = |(test|train)_cfg = )'
            if re.search(starts, text, re.MULTILINE):
                found.append(block._replace(text=text))
    return found


@pytest.mark.parametrize('block', snippets(), ids=lambda block: f'{block.page}:{block.line}')
def test_snippets(block, tmp_path):
    """They are Python; what they import is there; configs can be lowered."""
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split('.')[0] == 'hrdet':
            module = importlib.import_module(node.module)
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []
    base = re.search(r"_base_ = \[?'(?:\.\./)?([\w-]+)", block.text)
    if base and ((ROOT / 'configs' / base[1]).is_dir() or zoo.named(base[1])):
        if zoo.named(base[1]) is None:
            (tmp_path / base[1]).symlink_to(ROOT / 'configs' / base[1])
        (tmp_path / '_base_').symlink_to(ROOT / 'configs/_base_')
        (tmp_path / 'mine').mkdir()
        file = tmp_path / 'mine/config.py'
        file.write_text(block.text)
        lower(load_config(file))
