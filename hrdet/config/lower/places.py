"""Places in a config as it was written, for what is lowered through sections of 2019."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hrdet.config.node import Node
from hrdet.registry import ConfigError

# Patterns of places in the sections of 2019, and where the user's config has the same.
Rules = Sequence[tuple[str, str]]


def place(path: str, rules: Rules) -> str:
    """Where the user wrote what stands at a path in the sections of 2019."""
    for pattern, replacement in rules:
        path = re.sub(pattern, replacement, path)
    return path


@contextmanager
def placed(rules: Rules) -> Iterator[None]:
    """Inside the context a ConfigError about the sections of 2019 is about the user's."""
    try:
        yield
    except ConfigError as error:
        path, colon, message = str(error).partition(':')
        error.args = (place(path, rules) + colon + message,)
        raise


def with_places(value: Any, rules: Rules) -> Any:
    """Give every node of a lowered tree the place of its section in the user's config."""
    if isinstance(value, Node):
        value.path = place(value.path, rules)
    if isinstance(value, (Node, list, tuple)):
        for part in value.values() if isinstance(value, Node) else value:
            with_places(part, rules)
    return value
