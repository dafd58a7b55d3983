"""The tables of docs/model_zoo.md: costs and published accuracy of the models, and their weights.

    python tools/analysis/model_table.py

Accuracies and addresses are what the authors published (hrdet.zoo); parameters and GFLOPs of
detectors are counted, in the units of HRNet's tables (get_flops.py --release-units).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.command_line import Parser
from tools.analysis.get_flops import cost_of, cut

if TYPE_CHECKING:  # slow to import: where it is used, not for --help
    from hrdet.zoo import Published

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


# The published figures of each task, in the order of their columns, with their decimals.
FIGURES = {
    'detection': dict(box_ap=1, mask_ap=1),
    'classification': dict(params_m=2, flops_g=2, top1=2, top5=2),
    'segmentation': dict(miou=2, miou_ms_flip=2, mem_gb=2, fps=2),
}


def models(task: str, folder: str = 'hrnet') -> list[Published]:
    """The published models of a task whose configs are in a folder below ``configs``."""
    from hrdet.zoo import MODELS

    return [
        model
        for model in MODELS.values()
        if model.task == task and Path(model.config).parent == Path(folder)
    ]


def row(model: Published, *costs: str) -> str:
    """One line of a table; ``costs`` are the columns that ``cost_columns`` counts."""
    link = f'[`{model.name}`](../configs/{model.config})'
    figures = [
        f'{model.figures[name]:.{decimals}f}' if name in model.figures else ''
        for name, decimals in FIGURES[model.task].items()
    ]
    weights = f'[weights]({model.url})' if model.url else 'no file linked'
    return f'| {" | ".join([link, *costs, *figures, weights])} |'


def cost_columns(model: Published) -> tuple[str, str]:
    """Parameters and GFLOPs of a model."""
    cost = cost_of(CONFIGS / model.config, whole_levels=True)
    return f'{cut(cost.parameters, 2**20)}M', cut(cost.total_macs, 2**30)


def main() -> None:
    Parser(__doc__).parse_args()
    for model in models('detection'):
        print(row(model, *cost_columns(model)), flush=True)
    for name in ('detection', 'classification', 'segmentation'):
        print()
        for model in models(name, 'hrnet/continuous' if name == 'detection' else 'hrnet'):
            print(row(model))


if __name__ == '__main__':
    main()
