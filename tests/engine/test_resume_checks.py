"""A checkpoint is compared with the run before it is loaded, and refused with the cure."""

import copy

import pytest
import torch

from hrdet.checkpoints import CheckpointError, read_checkpoint
from tests.engine import toy_run
from tests.engine.test_resume import losses, same

ADAMW = dict(optimizer=dict(type='AdamW', lr=0.01), schedule=[], max_epochs=2)
META = dict(data=dict(train='a.json: 10 of 10 images', val='b.json: 5 of 5 images'))


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """The content of a checkpoint after the first epoch, by kind of optimizer."""
    contents = {}
    for name, change in dict(adamw=ADAMW, sgd={}).items():
        folder = tmp_path_factory.mktemp(name)
        toy_run.trainer(folder, toy_run.settings(**change), meta=META).run()
        contents[name] = read_checkpoint(folder / 'epoch_1.pth')
    return contents


def entry(checkpoint, name):
    """The first parameter's entry in the optimizer's state."""
    return checkpoint['optimizer']['state'][0][name]


def at(*path, value):
    """A change of one value in a checkpoint."""

    def change(checkpoint):
        place = checkpoint
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value(place[path[-1]]) if callable(value) else value

    return change


def without(*path):
    def change(checkpoint):
        place = checkpoint
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


STATE = 'optimizer', 'state', 0
GROUP = 'optimizer', 'param_groups', 0
DAMAGES = {
    'another size': at(*STATE, 'exp_avg', value=torch.zeros(3)),
    'empty': at(*STATE, 'exp_avg_sq', value=torch.zeros(0)),
    'one element': at(*STATE, 'exp_avg', value=torch.zeros(1)),
    'expanded': at(*STATE, 'exp_avg', value=torch.zeros(1).expand(4, 3, 3, 2)),
    'another dtype': at(*STATE, 'exp_avg', value=lambda t: t.double()),
    'sparse': at(*STATE, 'exp_avg', value=lambda t: t.to_sparse()),
    'on no device': at(*STATE, 'exp_avg', value=lambda t: t.to('meta')),
    'not a number': at(*STATE, 'exp_avg', value=lambda t: t * float('nan')),
    'negative squares': at(*STATE, 'exp_avg_sq', value=lambda t: t - 1),
    'negative step': at(*STATE, 'step', value=torch.tensor(-1.0)),
    'a list': at(*STATE, 'exp_avg', value=[1.0]),
    'an entry missing': without(*STATE, 'exp_avg'),
    'an entry too many': at(*STATE, value=lambda entries: entries | dict(more=1)),
    'a parameter missing': without(*STATE),
    'a parameter too many': at('optimizer', 'state', value=lambda s: s | {99: s[0]}),
    'indices': at(*GROUP, 'params', value=lambda indices: indices[::-1]),
    'no groups': at('optimizer', 'param_groups', value=None),
    'no state': without('optimizer', 'state'),
    'lr nan': at(*GROUP, 'lr', value=float('nan')),
    'no lr': without(*GROUP, 'lr'),
    'lr negative': at(*GROUP, 'lr', value=-1.0),
    'initial lr infinite': at(*GROUP, 'initial_lr', value=float('inf')),
    'betas': at(*GROUP, 'betas', value=(2.0, 3.0)),
    'eps text': at(*GROUP, 'eps', value='small'),
    'iter negative': at('meta', 'iter', value=-5),
    'epoch huge': at('meta', 'epoch', value=10**9),
    'position outside': at('meta', 'position', value=99),
    'position a float': at('meta', 'position', value=1.5),
    'no iter': without('meta', 'iter'),
    'no epoch_length': without('meta', 'epoch_length'),
    'seed text': at('meta', 'seed', value='seven'),
    'loss scale': at('optimizer', 'loss_scaler', value=dict(scale=float('nan'))),
    'loss scaler a tensor': at('optimizer', 'loss_scaler', value=torch.zeros(3)),
    'schedule a number': at('schedule', value=5),
    'classes a tensor': at('meta', 'classes', value=torch.zeros(3)),
    'classes infinite': at('meta', 'classes', value=float('inf')),
    'classes a number': at('meta', 'classes', value=5),
    'early stopping': at('meta', 'early_stopping', value=dict(best='x', best_iter=0, waited=0)),
    'ema a list': at('ema', value=[1]),
    'optimizer a list': at('optimizer', value=[]),
    'optimizer none': at('optimizer', value=None),
    'meta a list': at('meta', value=[]),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_state_is_refused(tmp_path, saved, damage):
    """D0 and D11: fused kernels write outside of tensors of a wrong shape."""
    checkpoint = copy.deepcopy(saved['adamw'])
    DAMAGES[damage](checkpoint)
    torch.save(checkpoint, tmp_path / 'damaged.pth')
    with pytest.raises(CheckpointError, match=r'damaged\.pth: .*load_from='):
        toy_run.trainer(
            tmp_path / 'run',
            toy_run.settings(**ADAMW),
            resume_from=str(tmp_path / 'damaged.pth'),
        )


SCHEDULES = {
    'tensors': at('schedule', 0, 'begin', value=torch.zeros(3)),
    'nan': at('schedule', 0, 'begin', value=float('nan')),
    'an argument missing': without('schedule', 1, 'milestones'),
    'an argument too many': at('schedule', 1, 'power', value=2),
    'negative rates': at('schedule', 1, 'gamma', value=-0.5),
}


@pytest.mark.parametrize('damage', SCHEDULES)
def test_a_damaged_schedule_is_refused(tmp_path, saved, damage):
    checkpoint = copy.deepcopy(saved['sgd'])
    SCHEDULES[damage](checkpoint)
    torch.save(checkpoint, tmp_path / 'damaged.pth')
    with pytest.raises(CheckpointError, match=r'damaged\.pth: .*its schedule .*load_from='):
        toy_run.trainer(tmp_path / 'run', resume_from=str(tmp_path / 'damaged.pth'))


@pytest.mark.parametrize('name', ['adamw', 'sgd'])
def test_a_state_in_another_format_is_that_of_the_same_weights(tmp_path, saved, name):
    """Fused kernels pair the numbers in the order of memory, whatever the strides say."""
    results = []
    for change in (torch.Tensor.clone, lambda t: t.mT.contiguous().mT):
        checkpoint = copy.deepcopy(saved[name])
        for entries in checkpoint['optimizer']['state'].values():
            for key in ('momentum_buffer', 'exp_avg', 'exp_avg_sq'):
                if key in entries and entries[key].ndim > 1:
                    entries[key] = change(entries[key])
        torch.save(checkpoint, tmp_path / 'other.pth')
        settings = toy_run.settings(**(ADAMW if name == 'adamw' else {}))
        path = str(tmp_path / 'other.pth')
        trainer = toy_run.trainer(tmp_path / 'run', settings, meta=META, resume_from=path)
        trainer.run()
        results.append(trainer.model.state_dict())
    assert same(*results)


def test_momentum_of_another_shape_is_refused(tmp_path, saved):
    checkpoint = copy.deepcopy(saved['sgd'])
    entry(checkpoint, 'momentum_buffer').resize_(2)
    torch.save(checkpoint, tmp_path / 'damaged.pth')
    with pytest.raises(CheckpointError, match='momentum_buffer of parameter 0'):
        toy_run.trainer(tmp_path / 'run', resume_from=str(tmp_path / 'damaged.pth'))


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('world_size', 2, 'written by 2 processes, this run has 1'),
        ('images_per_process', 4, 'trained with 4 images per process, this run has 2'),
        ('classes', ['cat', 'dog'], r"trained on the classes \('cat', 'dog'\), the data has"),
        ('data', dict(train='c.json: 9 of 10 images'), 'other data: c.json.*; here a.json'),
    ],
)
def test_another_run_is_refused(tmp_path, saved, name, value, message):
    """D7: processes, images per process, classes and data."""
    checkpoint = copy.deepcopy(saved['sgd'])
    checkpoint['meta'][name] = value
    torch.save(checkpoint, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match=rf'other\.pth: .*{message}.*--no-auto-resume'):
        toy_run.trainer(tmp_path / 'run', meta=META, resume_from=str(tmp_path / 'other.pth'))


def test_a_parameter_that_never_got_a_gradient_resumes(tmp_path):
    def model():
        made = toy_run.Tiny()
        made.unused = torch.nn.Linear(2, 2)
        return made

    settings = toy_run.settings(**ADAMW)
    toy_run.trainer(tmp_path, settings, model=model()).run()
    first = str(tmp_path / 'epoch_1.pth')
    assert toy_run.trainer(tmp_path, settings, model=model(), resume_from=first).run() == 0


def test_checkpoints_of_hrdet_01_resume(tmp_path, saved):
    """They hold mmengine's schedulers, and know less about their run."""
    whole, again = tmp_path / 'whole', tmp_path / 'again'
    toy_run.trainer(whole).run()
    checkpoint = copy.deepcopy(saved['sgd'])
    del checkpoint['schedule'], checkpoint['optimizer']['without_state']
    del checkpoint['meta']['data'], checkpoint['meta']['images_per_process']
    checkpoint['param_schedulers'] = [dict(last_step=5), dict(last_step=1)]
    checkpoint['optimizer']['base_param_settings'] = dict(lr=0.05)
    torch.save(checkpoint, tmp_path / 'old.pth')
    trainer = toy_run.trainer(again, resume_from=str(tmp_path / 'old.pth'))
    trainer.run()
    assert losses(again) == {k: v for k, v in losses(whole).items() if k > 5}
    ours, theirs = (read_checkpoint(folder / 'model_final.pth') for folder in (again, whole))
    assert same(ours['state_dict'], theirs['state_dict'])


def test_scores_on_other_data_do_not_count(tmp_path):
    first = toy_run.trainer(tmp_path, meta=META, evaluator=toy_run.Scores(0.9, 0.8))
    first.run()
    other = dict(data=dict(META['data'], val='c.json: 5 of 5 images'))
    second = toy_run.trainer(
        tmp_path,
        toy_run.settings(max_epochs=3),
        meta=other,
        evaluator=toy_run.Scores(0.1),
        resume_from=str(tmp_path / 'latest.pth'),
    )
    second.run()
    assert read_checkpoint(tmp_path / 'best_bbox_AP.pth')['meta']['metrics'] == {'bbox_AP': 0.1}
    assert 'scored on other data' in (tmp_path / 'train.log').read_text()


@pytest.mark.parametrize('metrics', [None, 5, dict(bbox_AP='x')])
def test_a_broken_best_checkpoint_is_noticed_before_training(tmp_path, metrics):
    toy_run.trainer(tmp_path).run()
    best = tmp_path / 'best_bbox_AP.pth'
    if metrics is None:
        best.write_bytes(b'garbage')
    else:
        content = read_checkpoint(best)
        content['meta']['metrics'] = metrics
        torch.save(content, best)
    again = toy_run.trainer(tmp_path, resume_from=str(tmp_path / 'epoch_1.pth'))
    with pytest.raises(CheckpointError, match=r'best_bbox_AP\.pth.*Delete it'):
        again.run()
    assert again.iter == 5
