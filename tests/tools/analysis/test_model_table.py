"""README's table of models: names, configs and AP of the zoo, and costs as they are counted."""

from pathlib import Path

import pytest

from hrdet.zoo import MODELS as ALL_MODELS
from tools.analysis import model_table

ROOT = Path(__file__).resolve().parents[3]
MODELS = model_table.models()


def printed() -> dict[str, tuple[str, str, str]]:
    """README's rows by model: the row, its parameters and its GFLOPs."""
    rows = [line for line in (ROOT / 'README.md').read_text().split('\n') if '](configs/' in line]
    return {line.split('`')[1]: (line, *line.split(' | ')[1:3]) for line in rows}


def test_every_published_model_has_its_row():
    rows = printed()
    assert list(rows) == [model.name for model in MODELS]
    for model in MODELS:
        line, params, gflops = rows[model.name]
        assert line == model_table.row(model, params, gflops)
        assert (ROOT / 'configs' / model.config).is_file()


# Those of Faster R-CNN are checked against the release's own table, see test_get_flops.
@pytest.mark.parametrize('kind', ['mask_rcnn', 'cascade_rcnn', 'cascade_mask_rcnn', 'htc', 'fcos'])
def test_costs_are_those_counted(kind):
    model = next(model for model in MODELS if model.name.startswith(f'{kind}_hrnetv2p_w18'))
    assert printed()[model.name][1:] == model_table.counted(model)


def test_the_backbone_is_what_makes_widths_differ():
    """Heads are the same at all widths, so each costs as much more than W18 as Faster R-CNN's."""
    costs: dict[str, dict[str, tuple[float, float]]] = {}
    for name, (_, params, gflops) in printed().items():
        kind, rest = name.split('_hrnetv2p_')
        numbers = (float(params.rstrip('M')), float(gflops))
        assert costs.setdefault(kind, {}).setdefault(rest.split('_')[0], numbers) == numbers
    for kind, widths in costs.items():
        for width, numbers in widths.items():
            for i in (0, 1):
                more = costs['faster_rcnn'][width][i] - costs['faster_rcnn']['w18'][i]
                # Four numbers without their second decimals.
                assert numbers[i] - widths['w18'][i] == pytest.approx(more, abs=0.2), (kind, width)


def test_the_table_of_weights():
    text = (ROOT / 'docs/model_zoo.md').read_text()
    rows = [line for line in text.split('\n') if '](../configs/' in line]
    assert rows == [model_table.weights_row(model) for model in ALL_MODELS.values()]
