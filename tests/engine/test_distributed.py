"""Two processes over gloo: they agree when to stop, what went wrong, and on every result."""

import json
import os
import signal

import pytest
import torch

from hrdet.checkpoints import read_checkpoint
from hrdet.engine import launch
from hrdet.engine.launch import LaunchError
from tests import forked
from tests.engine import workers
from tests.engine.test_resume import losses, same
from tests.file_server import CONTENT


@pytest.fixture(scope='module')
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two')
    # Not forked: what a process imports before it joins the others is part of the test.
    launch.spawn(2, workers.train_stop_and_resume, str(folder))
    told = [json.loads((folder / f'told_{rank}.json').read_text()) for rank in (0, 1)]
    return folder, told


def test_a_signal_to_one_process_stops_both_after_the_same_iteration(told):
    folder, reports = told
    assert [r['parts_stopped_by'] for r in reports] == [0, 0]  # of the resumed run, to the end
    starts = [json.loads(line) for line in (folder / 'parts' / 'log.jsonl').open()]
    starts = [e['step'] for e in starts if e['mode'] == 'start']
    assert starts == [0, 8]  # signalled in 7, agreed one later, in the middle of epoch 2


def test_resumed_run_equals_the_uninterrupted_one(told):
    folder, _ = told
    assert losses(folder / 'parts') == losses(folder / 'whole')
    ours, theirs = (read_checkpoint(folder / d / 'latest.pth') for d in ('parts', 'whole'))
    assert same(ours['state_dict'], theirs['state_dict'])
    assert same(ours['optimizer'], theirs['optimizer'])


def test_evaluation_is_the_same_everywhere(told):
    _, (first, second) = told
    assert first['metrics'] == second['metrics']
    assert set(first['metrics']) == {'bbox_AP'}
    assert first['buffer'] == second['buffer']


def test_a_non_finite_loss_on_one_process_is_named_on_both(told):
    folder, (first, second) = told
    assert first['broken'] == second['broken']
    assert 'broken.jpg' in first['broken']
    assert first['broken'].count('.jpg') == 4  # the batches of both processes
    assert not any(p.suffix == '.pth' for p in (folder / 'broken').iterdir())


def test_no_thread_of_the_process_group_is_left(told):
    """One that outlives the interpreter aborts the process, now and then."""
    _, reports = told
    assert not [name for r in reports for name in r['threads'] if 'gloo' in name]


def test_exit_code_of_a_process_is_passed_on():
    with pytest.raises(SystemExit) as left:
        forked.launched(1, workers.leave, 128 + signal.SIGTERM)
    assert left.value.code == 143


def test_more_gpus_than_there_are():
    count = torch.cuda.device_count() + 1
    with pytest.raises(LaunchError, match=rf'--gpus {count}: this machine has {count - 1} GPU'):
        launch.run_on_gpus(count, workers.leave)


def test_launcher_without_its_environment(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'SLURM_PROCID', 'OMPI_COMM_WORLD_RANK'):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LaunchError, match='torchrun'):
        launch.start('pytorch')
    with pytest.raises(LaunchError, match='srun'):
        launch.start('slurm')
    with pytest.raises(LaunchError, match='mpirun'):
        launch.start('mpi')


@pytest.mark.parametrize(
    ('variables', 'launcher'),
    [
        (dict(RANK='1', LOCAL_RANK='1', WORLD_SIZE='2'), 'pytorch'),  # torchrun
        (dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2'), 'mpi'),
        (dict(SLURM_PROCID='1', SLURM_STEP_NUM_TASKS='2'), 'slurm'),  # srun
    ],
)
def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch, variables, launcher):
    """Each would train alone, all in one folder."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError, match=rf'2 processes .* without --launcher {launcher}'):
        launch.start('none', force_cpu=True)
    with pytest.raises(LaunchError, match=f'--launcher {launcher}'):
        launch.run_on_gpus(0, workers.leave)


@pytest.fixture
def mpirun(monkeypatch):
    """The environment of the second of two processes on one machine."""
    variables = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')
    for name in (*variables, 'CUDA_VISIBLE_DEVICES'):
        monkeypatch.setenv(name, '')  # so that what is set in the test goes away after it
        monkeypatch.delenv(name)
    for name, value in dict(RANK=1, SIZE=2, LOCAL_RANK=1, LOCAL_SIZE=2).items():
        monkeypatch.setenv(f'OMPI_COMM_WORLD_{name}', str(value))
    joined = []
    monkeypatch.setattr(torch.distributed, 'init_process_group', joined.append)
    return joined


def test_mpi_on_one_machine_needs_no_address(mpirun):
    launch.start('mpi', force_cpu=True)
    assert mpirun == ['gloo']
    names = ('MASTER_ADDR', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK')
    assert [os.environ[name] for name in names] == ['127.0.0.1', '1', '2', '1']


def test_mpi_on_several_machines_needs_an_address(mpirun, monkeypatch):
    monkeypatch.setenv('OMPI_COMM_WORLD_LOCAL_SIZE', '1')
    with pytest.raises(LaunchError, match='set MASTER_ADDR to the first machine'):
        launch.start('mpi', force_cpu=True)
    monkeypatch.setenv('MASTER_ADDR', 'first')
    launch.start('mpi', force_cpu=True)
    assert os.environ['MASTER_ADDR'] == 'first'


def test_weights_are_downloaded_by_one_process(server, tmp_path, monkeypatch):
    monkeypatch.setenv('HRDET_HOME', str(tmp_path / 'cache'))
    forked.launched(2, workers.find_weights, f'{server.url}/plain.pth', str(tmp_path))
    for rank in (0, 1):
        assert (tmp_path / f'rank_{rank}').read_bytes() == CONTENT
    assert len(server.requests) == 1
    told = (tmp_path / 'told').read_text()
    assert told.count('downloading') == 1
    assert 'waiting' not in told
