"""The rows of README's model table.

    python tools/analysis/model_table.py

AP is what the authors published (hrdet.models.zoo); parameters and GFLOPs are counted here, in the
units of HRNet's tables (get_flops.py --release-units).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hrdet.models.zoo import MODELS, Published
from tools.analysis.get_flops import cost_of, cut

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def models() -> list[Published]:
    """Those of 2019, whose boxes are inclusive."""
    return [model for model in MODELS.values() if Path(model.config).parent == Path('hrnet')]


def row(model: Published, params: str, gflops: str) -> str:
    """One line of the table."""
    link = f'[`{model.name}`](configs/{model.config})'
    return f'| {link} | {params} | {gflops} | {model.box_ap} | {model.mask_ap or ""} |'


def counted(model: Published) -> tuple[str, str]:
    """Parameters and GFLOPs of a model."""
    cost = cost_of(CONFIGS / model.config, whole_levels=True)
    return f'{cut(cost.parameters, 2**20)}M', cut(cost.total_macs, 2**30)


def main() -> None:
    for model in models():
        print(row(model, *counted(model)), flush=True)


if __name__ == '__main__':
    main()
