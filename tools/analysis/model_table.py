"""The tables of docs/model_zoo.md: costs and published AP of the models, and their weights.

    python tools/analysis/model_table.py

AP and addresses are what the authors published (hrdet.zoo); parameters and GFLOPs are counted, in
the units of HRNet's tables (get_flops.py --release-units).
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


def models(release_2019: bool) -> list[Published]:
    """The published models of 2019, with inclusive boxes, or of mmdetection 2 and 3."""
    from hrdet.zoo import MODELS

    return [
        model
        for model in MODELS.values()
        if model.task == 'detection'
        and (Path(model.config).parent == Path('hrnet')) == release_2019
    ]


def row(model: Published, *costs: str) -> str:
    """One line of a table; ``costs`` are the columns that ``cost_columns`` counts."""
    link = f'[`{model.name}`](../configs/{model.config})'
    weights = f'[weights]({model.url})' if model.url else 'no file linked'
    cells = [link, *costs, f'{model.box_ap}', f'{model.mask_ap or ""}', weights]
    return f'| {" | ".join(cells)} |'


def cost_columns(model: Published) -> tuple[str, str]:
    """Parameters and GFLOPs of a model."""
    cost = cost_of(CONFIGS / model.config, whole_levels=True)
    return f'{cut(cost.parameters, 2**20)}M', cut(cost.total_macs, 2**30)


def main() -> None:
    Parser(__doc__).parse_args()
    for model in models(release_2019=True):
        print(row(model, *cost_columns(model)), flush=True)
    print()
    for model in models(release_2019=False):
        print(row(model))


if __name__ == '__main__':
    main()
