"""The tables of docs/model_zoo.md: names, configs, accuracy, weights and costs of the models."""

from pathlib import Path

import pytest
import torch

from hrdet.config import load_config, lower
from hrdet.models import build_model
from tools.analysis import model_table

ROOT = Path(__file__).resolve().parents[3]
MODELS = model_table.models('detection')
PAGE = (ROOT / 'docs/model_zoo.md').read_text(encoding='utf-8')
ROWS = [line for line in PAGE.split('\n') if '](../configs/' in line]


def printed() -> dict[str, tuple[str, str, str]]:
    """Rows of the first table by model: the row, its parameters and its GFLOPs."""
    rows = ROWS[: len(MODELS)]
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
    assert printed()[model.name][1:] == model_table.cost_columns(model)


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


def test_the_other_tables():
    continuous = model_table.models('detection', 'hrnet/continuous')
    others = [*model_table.models('classification'), *model_table.models('segmentation')]
    assert len(others) == 9 + 37
    assert ROWS[len(MODELS) :] == [model_table.row(model) for model in [*continuous, *others]]


@pytest.mark.parametrize(('name', 'params'), [
    ('fcn_hr18s_512x1024_40k_cityscapes', 3_939_309),
    ('fcn_hr18_512x1024_40k_cityscapes', 9_640_849),
    ('fcn_hr48_512x1024_40k_cityscapes', 65_858_659),
])  # fmt: skip
def test_the_sizes_of_segmentors(name, params):
    """Those of mmsegmentation's models."""
    run = lower(load_config(ROOT / f'configs/hrnet/{name}.py'))
    with torch.device('meta'):
        model = build_model(run, tuple(map(str, range(19))))
    assert sum(p.numel() for p in model.parameters()) == params
    assert f'| {params / 1e6:.2f}M |' in PAGE
