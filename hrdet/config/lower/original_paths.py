"""Paths in the user's config, where mmdetection 2 and 3 are translated to the 2019 language first.

The readers of the 2019 sections report errors at the paths of those sections.  Rules (regular
expressions) map such a path to the one in the config that the user wrote.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hrdet.config.node import Node
from hrdet.registry import ConfigError

# (pattern of a path in the 2019 sections, replacement that gives the path in the user's config).
Rules = Sequence[tuple[str, str]]


def original_path(path: str, rules: Rules) -> str:
    """The path in the user's config of a value at ``path`` in the 2019 sections."""
    for pattern, replacement in rules:
        path = re.sub(pattern, replacement, path)
    return path


@contextmanager
def errors_at_original_paths(rules: Rules) -> Iterator[None]:
    """Within the context, rewrite the path of a ConfigError to that of the user's config."""
    try:
        yield
    except ConfigError as error:
        path, colon, message = str(error).partition(':')
        error.args = (original_path(path, rules) + colon + message,)
        raise


def with_original_paths(value: Any, rules: Rules) -> Any:
    """Rewrite the path of every node of a lowered tree to that of the user's config."""
    if isinstance(value, Node):
        value.path = original_path(value.path, rules)
    if isinstance(value, (Node, list, tuple)):
        for part in value.values() if isinstance(value, Node) else value:
            with_original_paths(part, rules)
    return value
