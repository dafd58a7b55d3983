"""Runtime settings of OpenMMLab 2: ``env_cfg``, ``randomness``, ``resume`` and the like."""

from dataclasses import fields
from typing import Any, Literal

from hrdet.config.node import Node, read
from hrdet.config.run_config import Runtime
from hrdet.ranges import Count, FileName, Natural


def lower_runtime(
    path: str,
    *,
    env_cfg: Node | None = None,
    randomness: Node | None = None,
    resume: bool | FileName = False,
    load_from: FileName | None = None,
    launcher: Literal['none', 'pytorch', 'slurm', 'mpi'] = 'none',
    pretrained: str | None,
    **rest: Any,
) -> Runtime:
    """Lower the runtime settings; ``rest`` are fields of ``Runtime`` with the same names."""
    values = dict(rest)
    if env_cfg is not None:
        values |= read(_env_cfg, env_cfg, 'env_cfg')
    if randomness is not None:
        values['seed'] = read(_randomness, randomness, 'randomness')
    # ``resume=True`` resumes from ``load_from``, or else from the latest checkpoint in the work
    # folder, which hrdet does by default.
    resumed = resume if isinstance(resume, str) else load_from if resume else None
    if resumed:
        values['resume_from'] = resumed
    else:
        values['load_from'] = load_from
    return read(Runtime, Node('', values, pretrained=pretrained), '')


RUNTIME = [f.name for f in fields(Runtime) if f.name in ('work_dir', 'log_level', 'compile')]
RUNTIME += ['channels_last', 'on_bad_image', 'env_cfg', 'randomness', 'resume', 'load_from']
RUNTIME += ['launcher']


def _env_cfg(
    path: str,
    *,
    cudnn_benchmark: bool = False,
    mp_cfg: Node | None = None,
    dist_cfg: Node | None = None,
    resource_limit: Count = 4096,
) -> dict[str, Any]:
    if mp_cfg is not None:
        read(_mp_cfg, mp_cfg, f'{path}.mp_cfg')
    backend = read(_dist_cfg, dist_cfg or {}, f'{path}.dist_cfg')
    return dict(cudnn_benchmark=cudnn_benchmark, backend=backend)


def _mp_cfg(path: str, *, mp_start_method: str = 'fork', opencv_num_threads: Natural = 0) -> None:
    """Accepted without effect: hrdet chooses how workers start, with one thread each."""


def _dist_cfg(
    path: str, *, backend: Literal['nccl', 'gloo', 'mpi'] = 'nccl', port: int | None = None
) -> str:
    """The backend; the port has no effect, because the launcher chooses it."""
    return backend


def _randomness(
    path: str,
    *,
    seed: Natural | None = None,
    deterministic: Literal[False] = False,
    diff_rank_seed: bool = False,
) -> int | None:
    return seed
