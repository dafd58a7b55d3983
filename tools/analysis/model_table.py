"""The rows of README's model table, or with --weights those of docs/model_zoo.md.

    python tools/analysis/model_table.py
    python tools/analysis/model_table.py --weights

AP and addresses are what the authors published (hrdet.zoo); parameters and GFLOPs are
counted here, in the units of HRNet's tables (get_flops.py --release-units).
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


def models() -> list[Published]:
    """Those of 2019, whose boxes are inclusive."""
    from hrdet.zoo import MODELS

    return [model for model in MODELS.values() if Path(model.config).parent == Path('hrnet')]


def row(model: Published, params: str, gflops: str) -> str:
    """One line of the table."""
    link = f'[`{model.name}`](configs/{model.config})'
    return f'| {link} | {params} | {gflops} | {model.box_ap} | {model.mask_ap or ""} |'


def counted(model: Published) -> tuple[str, str]:
    """Parameters and GFLOPs of a model."""
    cost = cost_of(CONFIGS / model.config, whole_levels=True)
    return f'{cut(cost.parameters, 2**20)}M', cut(cost.total_macs, 2**30)


def weights_row(model: Published) -> str:
    """One line about a model's accuracy and where its weights are."""
    name = f'[`{model.name}`](../configs/{model.config})'
    weights = f'[weights]({model.url})' if model.url else 'no file linked'
    return f'| {name} | {model.box_ap} | {model.mask_ap or ""} | {weights} |'


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument('--weights', action='store_true', help='rows of docs/model_zoo.md')
    if parser.parse_args().weights:
        from hrdet.zoo import MODELS

        print(*map(weights_row, MODELS.values()), sep='\n')
        return
    for model in models():
        print(row(model, *counted(model)), flush=True)


if __name__ == '__main__':
    main()
