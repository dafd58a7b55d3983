"""labelme: JSON files beside their images."""

from pathlib import Path

from hrdet.data.annotations import read_labelme
from hrdet.data.formats.labels import Labels, split_folders, without_label
from hrdet.json_files import read_bytes

KIND = 'labelme'


def find(path: Path) -> list[Labels] | None:
    """The parts of a folder of labelme files; None for anything else."""
    if not path.is_dir():
        return None
    parts = []
    for split, folder in split_folders(path).items():
        files = [file for file in sorted(folder.rglob('*.json')) if _is_labelme(file)]
        if files:
            parts.append(Labels(split, *_table(files, folder)))
    return parts or None


def _is_labelme(file: Path) -> bool:
    content = read_bytes(file)
    return b'"shapes"' in content and b'"imagePath"' in content


def _table(files: list[Path], folder: Path) -> tuple:
    table, problems = read_labelme(files, str(folder))
    problems += without_label(folder, table.file_names, 'a JSON')
    return table, str(folder), problems
