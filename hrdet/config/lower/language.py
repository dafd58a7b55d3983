"""From a config in any language to a RunConfig."""

from collections.abc import Mapping
from typing import Any

from hrdet.config.config import origins_of, values_of
from hrdet.config.lower import lowered, release
from hrdet.config.node import Node, check_choice
from hrdet.config.run_config import RunConfig
from hrdet.registry import ConfigError

# Each language: its keys at the top, and its reader.
LANGUAGES = {
    'release': (release.KEYS, release.lower_release),
    'lowered': (lowered.KEYS, lowered.read_lowered),
}


def keys_of_language(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys that a config in its language may have at the top."""
    language = config.get('language', 'release')
    check_choice(language, LANGUAGES, 'language')
    return (*LANGUAGES[language][0], 'language', 'custom_imports')


def lower(config: Mapping[str, Any]) -> RunConfig:
    """Lower a config (a Config, or a dict): one pass, checked strictly.

    Keys of parts that are built (heads, losses, transforms, ...) are checked against their
    constructors, by ``RunConfig.check`` and when they are built.

    Raises:
        ConfigError: an unknown key, a missing one, or a value that cannot be meant; the message
            names its path in the config, and the file and line that wrote it.
    """
    origins = origins_of(config)
    try:
        keys_of_language(config)
        read = LANGUAGES[config.get('language', 'release')][1]
        run = read({key: value for key, value in config.items() if key != 'language'})
    except ConfigError as error:
        error.locate(origins)
        raise
    nodes = run.training.nodes if run.training else []
    for _, node, _ in values_of([run.model, run.train, run.val, run.test, nodes]):
        if isinstance(node, Node):
            node.origins = origins
    return run
