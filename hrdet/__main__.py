"""The command ``hrdet``: the tools of hrdet by short names, in any folder.

    hrdet train CONFIG                   python -m hrdet is the same
    hrdet train MODEL --data FOLDER      data of your own: the config is derived
    hrdet test CONFIG CHECKPOINT --eval bbox
    hrdet COMMAND --help

CONFIG is a file, or the name of a published model.
"""

import runpy
import sys
from pathlib import Path

from hrdet import command_line

_PACKAGE = Path(__file__).resolve().parent
# Each command: the tool that it is, and what it does.
COMMANDS = {
    'train': ('train.py', 'train a model'),
    'test': ('test.py', 'evaluate a model on the test data of its config'),
    'infer': ('infer.py', 'run a model on images of your own'),
    'check': ('check_dataset.py', 'list what is wrong with a data set'),
    'convert': ('convert_dataset.py', 'convert labels, or a downloaded data set'),
    'config': ('print_config.py', 'print a config with all that it inherits'),
    'export': ('export.py', 'write a model as a file that runs without hrdet'),
    'convert-checkpoint': ('convert_checkpoint.py', 'weights in the layout of another project'),
    'download': ('download.py', 'fetch published weights ahead'),
    'flops': ('analysis/get_flops.py', 'parameters and FLOPs of a model'),
    'curves': ('analysis/curves.py', 'compare the curves of training runs'),
    'benchmark': ('analysis/benchmark.py', 'images a second and memory of a model'),
    'shapes': ('make_shapes.py', 'make a small data set to try things with'),
    'doctor': (None, 'say what is installed, what is missing and the cure'),
    'completion': (None, 'print a script that completes commands in bash, zsh or fish'),
}


def tools_folder() -> Path:
    """The folder of the tools: inside the package in a wheel, beside the package in a clone."""
    inside = _PACKAGE / '_share' / 'tools'
    return inside if inside.is_dir() else _PACKAGE.parent / 'tools'


def usage() -> str:
    """The commands, one a line."""
    lines = [f'  {name:18} {purpose}' for name, (_, purpose) in COMMANDS.items()]
    return '\n'.join([__doc__.strip(), '', 'commands:', *lines])


def main() -> int | None:
    """The whole command."""
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help', 'help'):
        print(usage())
        return 0
    if sys.argv[1] in ('-V', '--version'):
        from hrdet import __version__

        print(f'hrdet {__version__}')
        return 0
    command = sys.argv[1]
    if command not in COMMANDS:
        from hrdet.registry import nearest

        known = f'{nearest(command, COMMANDS)}; commands: {", ".join(COMMANDS)}'
        print(f'error: there is no command {command!r}{known}', file=sys.stderr)
        return 2
    tool, _ = COMMANDS[command]
    # The tool runs as the main program: it parses sys.argv, without the name of the command.
    command_line.PROGRAM = f'hrdet {command}'
    del sys.argv[1]
    if command == 'doctor':
        from hrdet import doctor

        return doctor.main()
    if command == 'completion':
        from hrdet import completion

        folder = tools_folder()
        tools = {name: (tool and folder / tool, text) for name, (tool, text) in COMMANDS.items()}
        return completion.main(tools)
    runpy.run_path(str(tools_folder() / tool), run_name='__main__')
    return None


if __name__ == '__main__':
    sys.exit(main())
