"""What a process that only predicts does not load."""

import subprocess
import sys

import pytest

# Each costs its users time: what trains, evaluates, draws or compiles.
UNUSED = (
    'hrdet.engine',
    'hrdet.evaluation',
    'hrdet.visualize',
    'mmengine.runner',
    'mmengine.optim',
    'mmengine.model',
    'mmengine.hooks',
    'mmengine.visualization',
    'torch.distributed.fsdp',
    'torch.distributed.optim',
    'torch.distributed.tensor',
    'torch._dynamo',
    'torch._inductor',
    'torch.utils.tensorboard',
    'torchvision',
    'hotcoco',
    'matplotlib',
    'scipy',
    'sympy',
    'yapf',
)

TOOLS = (
    *('train', 'test', 'infer', 'print_config', 'check_dataset', 'convert_checkpoint'),
    *('download', 'export'),
    *('paint_semantic', 'make_shapes'),
    *(f'analysis/{name}' for name in ('benchmark', 'curves', 'get_flops', 'memory', 'model_table')),
)

PREDICT = """
import sys

import numpy as np
from hrdet.apis import inference_detector, init_detector

changes = {'classes': ('a', 'b'), 'data.test.img_scale': (128, 96)}
model = init_detector(sys.argv[1], device='cpu', cfg_options=changes)
assert inference_detector(model, np.zeros((60, 80, 3), np.uint8)).boxes.shape[1] == 4
print(*sorted(sys.modules))
"""


def test_predicting_loads_nothing_that_trains(pytestconfig):
    config = 'configs/quickstart/faster_rcnn_hrnetv2p_w18_small.py'
    done = subprocess.run(
        [sys.executable, '-c', PREDICT, config],
        cwd=pytestconfig.rootpath,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert 'torch' in loaded
    assert loaded.isdisjoint(UNUSED)


def test_the_package_itself_loads_nothing():
    code = 'import sys, hrdet; dir(hrdet); print(*(set(sys.modules) & {"torch", "numpy", "cv2"}))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ('\n', '')


@pytest.mark.parametrize('name', TOOLS)
def test_help_waits_for_nothing(name, pytestconfig):
    """Options are told before torch is loaded."""
    tool = f'import runpy, sys; sys.argv[1:] = ["--help"]; runpy.run_path("tools/{name}.py", '
    code = f'try: {tool} run_name="__main__")\nfinally: print("torch:", "torch" in sys.modules)'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=pytestconfig.rootpath, capture_output=True, text=True
    )
    assert 'usage:' in done.stdout, done.stderr
    assert 'torch: False' in done.stdout
