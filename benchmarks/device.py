"""Compare a device with the CPU on the quickstart models of every task: the first look at a GPU.

    python -m benchmarks.device losses      one training step: losses and gradients are the CPU's
    python -m benchmarks.device learning    200 iterations of Faster R-CNN: the loss falls by half
    python -m benchmarks.device graphs      CUDA graphs are captured, and predict the same
    python -m benchmarks.device memory      peak memory of a training step and of a prediction

``--device cpu`` goes the same ways on the CPU, graphs and memory of CUDA left out.  Each prints its
rows for docs/results/gpu.md, and ends with status 1 where something differs.
"""

import argparse
import copy
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from benchmarks.training import first_candidates
from hrdet.config import RunConfig, load_config, lower
from hrdet.data import SampleKey, collate
from hrdet.data.shapes import make_class_folders, make_label_maps, make_shapes
from hrdet.engine.trainer import TrainStep
from hrdet.matching import RandomSampler
from hrdet.models import build_model
from hrdet.optim import build_optimizer
from hrdet.optimize import optimize
from hrdet.optimize.cuda_graphs import GraphCache
from hrdet.registry import build
from hrdet.structures import Batch

CONFIGS = Path(__file__).resolve().parents[1] / 'configs/quickstart'
DETECTORS = {
    name: f'{name}_hrnetv2p_w18_small'
    for name in ('faster_rcnn', 'mask_rcnn', 'cascade_rcnn', 'cascade_mask_rcnn', 'htc', 'fcos')
}
MODELS = DETECTORS | {
    'segmentor': 'fcn_hr18s',
    'classifier': 'hrnet-w18-small_classification',
}
# float32 without TF32: sums of the device and of the CPU differ by their order only, and a few
# proposals near a limit may change places.
LOSSES, GRADIENTS = 1e-3, 1e-2


@contextmanager
def generated_data() -> Iterator[None]:
    """The working folder is one in which the data sets of the quickstart configs exist."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_shapes('data/shapes', train=16, val=4, size=(128, 160))
        make_label_maps('data/shapes_maps', train=16, val=4, size=(128, 160))
        make_class_folders('data/shapes_folders', train=4, val=2)
        try:
            yield
        finally:
            os.chdir(before)


def made(name: str) -> tuple[RunConfig, nn.Module, Batch]:
    """The config, the model and four images of its training data, without random numbers."""
    config = lower(load_config(CONFIGS / f'{MODELS[name]}.py'))
    dataset = build(config.train['dataset'])
    torch.manual_seed(0)
    model = build_model(config, dataset.classes)
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        if hasattr(module, 'score_thr'):
            module.score_thr = 0.0  # random weights detect something, too
    model.batch_augments = ()
    return config, model, collate([dataset[SampleKey(i)] for i in range(4)], size_divisor=32)


def step(config: RunConfig, model: nn.Module, device: str) -> TrainStep:
    optimizer = build_optimizer(model.to(device).train(), config.training.optimizer)
    return TrainStep(model, optimizer, torch.device(device))


def losses(device: str) -> bool:
    """Whether losses and the length of the gradient are the CPU's, for every model."""
    fine = True
    print('| model | losses | largest difference | gradient |', '|---|---|---|---|', sep='\n')
    for name in MODELS:
        _, model, batch = made(name)
        found = []
        for where in ('cpu', device):
            one = copy.deepcopy(model).to(where).train()
            values = one(batch.to(where))
            sum(values.values()).backward()
            grads = [p.grad.double().norm() for p in one.parameters() if p.grad is not None]
            found.append(
                ({k: v.item() for k, v in values.items()}, torch.stack(grads).norm().item())
            )
        (expected, length), (other, other_length) = found
        difference = max(abs(other[k] / v - 1) if v else abs(other[k]) for k, v in expected.items())
        gradient = abs(other_length / length - 1)
        good = difference < LOSSES and gradient < GRADIENTS
        fine &= good
        total = f'{sum(other.values()):.4f} (CPU {sum(expected.values()):.4f})'
        note = '' if good else ' **differs**'
        print(f'| {name} | {total} | {difference:.1e} | {gradient:.1e}{note} |', flush=True)
    return fine


def learning(device: str, iterations: int = 200) -> bool:
    """Whether the loss of the last tenth is below half of that of the first."""
    config, model, batch = made('faster_rcnn')
    train = step(config, model, device)
    for group in train.optimizer.param_groups:
        group['lr'] = 0.002
    history = torch.stack([train(batch)['loss'] for _ in range(iterations)]).cpu()
    tenth = max(iterations // 10, 1)
    first, last = history[:tenth].mean().item(), history[-tenth:].mean().item()
    good = bool(history.isfinite().all()) and (iterations < 100 or last < first / 2)
    note = '' if good else ' **It does not learn.**'
    print(f'Faster R-CNN, {iterations} iterations on four images: {first:.3f} to {last:.3f}.{note}')
    return good


def graphs(device: str) -> bool:
    """Whether predictions through CUDA graphs, captured and replayed, are those without."""
    fine = True
    for name in DETECTORS:
        _, model, batch = made(name)
        model, batch = model.to(device).eval(), batch.to(device)
        fast = optimize(copy.deepcopy(model), graph=device != 'cpu')
        # As optimized, but without graphs: folding norms moves scores of random weights by 1e-3.
        expected = optimize(copy.deepcopy(model), graph=False).predict(batch)
        captured = 0
        for _ in range(2):  # captured, then replayed
            found = fast.predict(batch)
            same = all(
                len(a) == len(b) and torch.allclose(a.scores, b.scores, rtol=0, atol=1e-3)
                for a, b in zip(found, expected, strict=True)
            )
            caches = [m.forward for m in fast.modules() if isinstance(m.forward, GraphCache)]
            captured = sum(len(cache.graphs) for cache in caches)
            fine &= same and (captured > 0 or device == 'cpu')
        print(
            f'{name}: {captured} graphs, {"the same" if same else "**other detections**"}',
            flush=True,
        )
    return fine


def memory(device: str) -> bool:
    """Prints the peaks of allocated memory; on a CPU there is nothing to print."""
    print('| model | training step, 4 images | prediction |', '|---|---|---|', sep='\n')
    for name in MODELS:
        config, model, batch = made(name)
        train = step(config, model, device)
        peaks = [_peak(device, train, batch)]
        peaks.append(_peak(device, model.eval().predict, batch.to(device)))
        print(f'| {name} | {peaks[0]:.0f} MB | {peaks[1]:.0f} MB |', flush=True)
    return True


def _peak(device: str, run: Callable, batch: Batch) -> float:
    """MB that torch allocates on the GPU while ``run(batch)`` runs; 0 on a CPU."""
    if device == 'cpu':
        run(batch)
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    run(batch)
    return torch.cuda.max_memory_allocated() / 2**20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('part', choices=[f.__name__ for f in (losses, learning, graphs, memory)])
    parser.add_argument('--device', default='cuda')
    parser.add_argument('--iterations', type=int, default=200)
    options = parser.parse_args()
    RandomSampler.sample = first_candidates
    torch.backends.cuda.matmul.fp32_precision = 'ieee'
    torch.backends.cudnn.conv.fp32_precision = 'ieee'
    arguments = [options.device] + [options.iterations] * (options.part == 'learning')
    with generated_data():
        return int(not globals()[options.part](*arguments))


if __name__ == '__main__':
    sys.exit(main())
