"""The files of docs/custom_models.md as they are printed there: a step of training, results."""

import sys
from pathlib import Path

import pytest
import torch

from hrdet.config import load_config, lower
from hrdet.models import build_model
from hrdet.registry import ConfigError
from tests.models import toy_batches as toys

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ('ant', 'bee', 'cat')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The files of the manual, importable, with what they are based on beside them."""
    folder = tmp_path_factory.mktemp('custom')
    (folder / 'mine').mkdir()
    (folder / 'configs').symlink_to(ROOT / 'configs')
    blocks = (ROOT / 'docs/custom_models.md').read_text().split('```python\n# ')[1:]
    for block in blocks:
        name, text = block.split('```')[0].split('\n', 1)
        (folder / name).write_text(text)
    assert len(blocks) == 4
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
        for module in [name for name in sys.modules if name.partition('.')[0] == 'mine']:
            del sys.modules[module]


def load(folder, **overrides):
    """The config, with few proposals, all of which become results."""
    few = {f'test_cfg.rpn.{name}': 20 for name in ('nms_pre', 'nms_post', 'max_num')}
    few['test_cfg.rcnn.score_thr'] = 0.0
    return load_config(folder / 'mine/my_detector.py', few | overrides)


def assert_learns_and_predicts(model):
    batch = toys.batch()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    own = [*model.backbone.named_parameters(), *model.roi_head.named_parameters()]
    before = [parameter.detach().clone() for _, parameter in own]
    losses = model.train()(batch)
    sum(losses.values()).backward()
    optimizer.step()
    assert all(loss.isfinite() for loss in losses.values())
    for (name, parameter), old in zip(own, before):
        assert not torch.equal(parameter, old), name
    for found in model.eval()(batch, mode='predict'):
        assert len(found) > 0
        assert found.labels.max() < len(CLASSES)
        assert found.boxes.isfinite().all()


def test_one_step_and_results(folder):
    torch.manual_seed(0)
    lowered = lower(load(folder))
    assert lowered.warnings == []
    model = build_model(lowered, CLASSES)
    head = model.roi_head.bbox_head
    names = [type(part).__name__ for part in (model.backbone, head, head.loss_cls)]
    assert names == ['PlainNet', 'ConvBoxHead', 'SmoothedCrossEntropy']
    assert (head.num_classes, head.coder.stds) == (3, (0.1, 0.1, 0.2, 0.2))
    assert_learns_and_predicts(model)


def test_one_head_for_all_stages_of_a_cascade(folder):
    torch.manual_seed(0)
    config = load(folder).to_dict()
    config['model'] |= dict(type='CascadeRCNN', num_stages=2)
    stage = config['train_cfg']['rcnn']
    config['train_cfg'] |= dict(rcnn=[stage, stage], stage_loss_weights=[1, 0.5])
    model = build_model(lower(config), CLASSES)
    first, second = model.roi_head.bbox_head
    assert type(first).__name__ == type(second).__name__ == 'ConvBoxHead'
    assert not torch.equal(first.fc_cls.weight, second.fc_cls.weight)
    assert_learns_and_predicts(model)


def test_the_loss_is_the_one_of_the_document(folder):
    """Cross entropy with (1 - s) of the target on the label and s over all classes."""
    loss = build_model(lower(load(folder)), CLASSES).roi_head.bbox_head.loss_cls
    logits, labels = torch.randn(5, 4), torch.tensor([0, 3, 1, 1, 2])
    targets = 0.95 * torch.eye(4)[labels] + 0.05 / 4
    wanted = -(targets * logits.log_softmax(1)).sum(1)
    torch.testing.assert_close(loss.elements(logits, labels), wanted)


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        (
            'model.bbox_head.num_conv',
            2,
            r"model\.bbox_head\.num_conv, set by --cfg-options: .*'num_convs'",
        ),
        ('model.bbox_head.loss_cls.smooting', 0.1, r'model\.bbox_head\.loss_cls\.smooting, set by'),
        ('model.backbone.norm_cfg.groups', 2, r'model\.backbone\.norm_cfg\.groups'),
        ('model.bbox_head.num_classes', 3, r'the model has 2 classes'),
    ],
)
def test_mistakes_are_named_by_their_path(folder, path, value, message):
    with pytest.raises(ConfigError, match=message):
        build_model(lower(load(folder, **{path: value})), CLASSES)
