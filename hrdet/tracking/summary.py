"""The lines at the end of a training: time, best metric, files, and the next command."""

import datetime
from pathlib import Path

from hrdet.tracking.trackers import LOG_FILE
from hrdet.visualize.curves import best_entry, read_log
from hrdet.visualize.run_pictures import BATCH_FILE, CURVES_FILE, LABELS_FILE

_FILES = (CURVES_FILE, LOG_FILE, LABELS_FILE, BATCH_FILE)


def summary(work_dir: Path, seconds: int) -> list[str]:
    """The summary of a run that took ``seconds``, from what it left in its folder."""
    lines = [f'time: {datetime.timedelta(seconds=seconds)}']
    log = work_dir / LOG_FILE
    val = read_log(log)[1] if log.is_file() else []
    weights = next(iter(sorted(work_dir.glob('best_*.pth'))), work_dir / 'model_final.pth')
    best = best_entry(val)
    if best is not None:
        name, entry = best
        place = f'epoch {entry.get("epoch")}, iteration {entry["step"]}'
        lines.append(f'best: {name} {entry[name]:.4f} in {place}: {weights}')
    files = [name for name in _FILES if (work_dir / name).exists()]
    if files:
        lines.append(f'files: {", ".join(files)} in {work_dir}')
    config = max(work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime, default=None)
    if config is not None and weights.exists():
        lines.append(f'next: hrdet test {config} {weights}')
    return lines
