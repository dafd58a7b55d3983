"""Pages of the site that lie outside docs/, links to them, and the reference made from the code."""

import inspect
import posixpath
import re
import sys
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import hrdet
from hrdet import registry

ROOT = Path(__file__).resolve().parents[2]
# Files of the repository that are pages of the site.
OUTSIDE = {
    'README.md': 'index.md',
    'benchmarks/README.md': 'benchmarks.md',
    **{
        f'{name}.md': f'{name}.md'
        for name in ('INSTALL', 'CHANGELOG', 'CONTRIBUTING', 'SECURITY', 'CODE_OF_CONDUCT')
    },
}
SOURCES = {page: source for source, page in OUTSIDE.items()}
# Of the reference: (heading, what the names begin with).
PARTS = (
    ('Detectors', 'hrdet.models.detectors'),
    ('Classifiers', 'hrdet.models.classifiers'),
    ('Segmentors', 'hrdet.models.segmentors'),
    ('Backbones', 'hrdet.models.backbones'),
    ('Necks', 'hrdet.models.necks'),
    ('Heads', 'hrdet.models.heads'),
    ('Second stage', 'hrdet.models.roi'),
    ('Other parts of models', 'hrdet.models'),
    ('Losses', 'hrdet.losses'),
    ('Anchors and box coders', 'hrdet.boxes'),
    ('Assigners and samplers', 'hrdet.matching'),
    ('Data sets', 'hrdet.data.datasets'),
    ('Transforms', 'hrdet.data.transforms'),
    ('Evaluators', 'hrdet.evaluation'),
    ('Trackers', 'hrdet.tracking'),
    ('Others', 'hrdet'),
)
API = (
    'hrdet.config.load_config',
    'hrdet.config.lower.language.lower',
    'hrdet.checkpoints.load_checkpoint',
    'hrdet.optimize.optimize',
    'hrdet.structures.Detections',
    'hrdet.visualize.draw.draw',
    'hrdet.visualize.draw.save_picture',
)


def parts_page() -> str:
    """Every class that a config can name as ``type``, with its arguments."""
    import hrdet.data
    import hrdet.engine.build
    import hrdet.evaluation
    import hrdet.models
    import hrdet.tracking  # noqa: F401  (each registers its classes)

    names: dict[type, list[str]] = {}
    for name, cls in sorted(registry._CLASSES.items()):
        if cls.__module__.startswith('hrdet.'):
            names.setdefault(cls, []).append(name)
    lines = [
        '# Parts of a config',
        '',
        'Every class that a config in the lowered form (`print_config.py --lowered`) names as '
        '`type`, with the arguments of its constructor. This page is made from the code. What the '
        'other config languages call them is in [config.md](../config.md) and '
        '[migration.md](../migration.md).',
    ]
    for heading, _ in PARTS:
        found = [cls for cls in names if _heading(cls) == heading]
        lines += ['', f'## {heading}'] if found else []
        for cls in sorted(found, key=lambda cls: names[cls]):
            lines += _part(cls, names[cls])
    return '\n'.join(lines) + '\n'


def _heading(cls: type) -> str:
    return next(heading for heading, package in PARTS if cls.__module__.startswith(package))


def _part(cls: type, names: list[str]) -> list[str]:
    about = (inspect.getdoc(cls) or '').split('\n\n')[0].replace('\n', ' ').replace('``', '`')
    lines = ['', f'### {", ".join(names)}', '', about]
    parameters = registry._parameters(cls)
    if parameters:
        lines += ['', '| argument | type | default |', '|---|---|---|']
    for name, parameter in parameters.items():
        kind = parameter.annotation
        kind = '' if kind in (parameter.empty, Any) else registry._described(kind)
        kind = kind.replace('Callable', 'a part').replace('Mapping', 'a dict')
        default = '' if parameter.default is parameter.empty else f'`{_plain(parameter.default)!r}`'
        lines.append(f'| `{name}` | {_cell(kind)} | {_cell(default)} |')
    return lines


def _plain(value: Any) -> Any:
    """As a config writes it."""
    if isinstance(value, Enum):
        return value.value
    return dict(value) if isinstance(value, Mapping) else value


def _cell(text: str) -> str:
    return text.replace('|', '\\|').replace('\n', ' ')


def api_page() -> str:
    """The public names of the package, and others that the documents use."""
    public = [f'{module}.{name}' for name, module in hrdet._MODULES.items()]
    names = list(dict.fromkeys([*public, *API]))
    return '\n'.join(['# Python API', *(f'\n::: {name}' for name in names)]) + '\n'


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    pages = {page: (ROOT / source).read_text('utf-8') for source, page in OUTSIDE.items()}
    pages |= {'reference/parts.md': parts_page(), 'reference/api.md': api_page()}
    for page, content in pages.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files of the repository lead to their pages; those to code become plain text."""
    here = page.file.src_uri
    source = ROOT / SOURCES.get(here, f'docs/{here}')

    def link(found: re.Match) -> str:
        mark, text, target = found.groups()
        path, _, anchor = target.partition('#')
        file = (source.parent / path).resolve()
        if '://' in target or not path or not file.exists() or not file.is_relative_to(ROOT):
            return found[0]
        place = file.relative_to(ROOT).as_posix()
        place = OUTSIDE.get(place, place.removeprefix('docs/') if place.startswith('docs/') else '')
        if files.get_file_from_path(place) is None:
            return text
        place = posixpath.relpath(place, posixpath.dirname(here) or '.')
        return f'{mark}[{text}]({place}{"#" if anchor else ""}{anchor})'

    return re.sub(r'(!?)\[([^\]]*)\]\(([^)\s]+)\)', link, markdown)
