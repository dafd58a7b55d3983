"""Scripts that complete ``hrdet COMMAND MODEL --option`` in bash, zsh and fish.

    hrdet completion bash > ~/.local/share/bash-completion/completions/hrdet
    hrdet completion fish > ~/.config/fish/completions/hrdet.fish
    hrdet completion zsh > ~/.hrdet_completion         # and in ~/.zshrc: source ~/.hrdet_completion

The words are those of this version: print the script again after an update.
"""

import io
import re
import runpy
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path

from hrdet import zoo
from hrdet.command_line import Parser

SHELLS = ('bash', 'zsh', 'fish')
# Commands whose first argument may be the name of a published model.
_OF_MODELS = ('train', 'test', 'infer', 'config', 'export', 'download', 'flops', 'benchmark')
_BASH = """\
_hrdet() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    if [ "$COMP_CWORD" = 1 ]; then
        words='{commands}'
    else
        case "${{COMP_WORDS[1]}}:$COMP_CWORD:$word" in
{options}
            {of_models}) words='{models}' ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _hrdet hrdet
"""


def options(tool: Path | None) -> list[str]:
    """The options of a tool, from its help."""
    if tool is None:
        return ['--help']
    arguments, text = sys.argv, io.StringIO()
    sys.argv = [tool.name, '--help']
    try:
        with redirect_stdout(text), suppress(SystemExit):
            runpy.run_path(str(tool), run_name='__main__')
    finally:
        sys.argv = arguments
    return re.findall(r'^  (?:-\w, )?(--[\w-]+)', text.getvalue(), re.MULTILINE)


def script(shell: str, commands: Mapping[str, tuple[Path | None, str]]) -> str:
    """The script of a shell, for commands with their tools and purposes."""
    found = {name: options(tool) for name, (tool, _) in commands.items()}
    if shell == 'fish':
        return '\n'.join(_fish(found, {name: text for name, (_, text) in commands.items()})) + '\n'
    cases = [
        f"            {name}:*:-*) words='{' '.join(names)}' ;;" for name, names in found.items()
    ]
    text = _BASH.format(
        commands=' '.join(commands),
        options='\n'.join(cases),
        of_models='|'.join(f'{name}:2:*' for name in _OF_MODELS),
        models=' '.join(zoo.MODELS),
    )
    return f'autoload -U +X bashcompinit && bashcompinit\n{text}' if shell == 'zsh' else text


def _fish(found: Mapping[str, list[str]], purposes: Mapping[str, str]) -> list[str]:
    lines = [
        f"complete -c hrdet -n __fish_use_subcommand -a {name} -d '{purposes[name]}'"
        for name in found
    ]
    lines += [
        f"complete -c hrdet -n '__fish_seen_subcommand_from {name}' -l {option[2:]}"
        for name, names in found.items()
        for option in names
    ]
    models = ' '.join(zoo.MODELS)
    lines.append(
        f"complete -c hrdet -n '__fish_seen_subcommand_from {' '.join(_OF_MODELS)}' -a '{models}'"
    )
    return lines


def main(commands: Mapping[str, tuple[Path | None, str]]) -> None:
    """Print the script of the shell that the command line names."""
    parser = Parser(__doc__)
    parser.add_argument('shell', choices=SHELLS)
    sys.stdout.write(script(parser.parse_args().shell, commands))
