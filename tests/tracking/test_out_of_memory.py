"""What a training that runs out of memory says."""

import pytest
import torch

from hrdet.run_tool import one_line
from hrdet.tracking import OutOfMemory, explain_out_of_memory
from tests.engine import toy_run


def batch(count):
    return toy_run.collate([toy_run.Noise()[i] for i in range(count)])


@pytest.mark.parametrize(
    ('count', 'cure'),
    [
        (5, r'5 images of 8 x 8 .*imgs_per_gpu=2 \(train.batch_size=2 in .*training\.amp'),
        (1, r'1 image of 8 x 8 .*smaller img_scale'),
    ],
)
def test_a_smaller_batch_or_image(count, cure):
    """By the error that torch raises on a CPU, and by that of a GPU."""
    with pytest.raises(RuntimeError) as of_a_cpu:
        torch.empty(1 << 50)
    of_a_gpu = torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 MiB')
    for error in (of_a_cpu.value, of_a_gpu):
        with pytest.raises(OutOfMemory, match=cure) as caught:
            explain_out_of_memory(error, batch(count), torch.device('cpu'))
        assert one_line(caught.value) == str(caught.value)


def test_on_a_gpu_with_what_it_took(monkeypatch):
    memory = type('Properties', (), dict(total_memory=12 << 30))
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda _: memory)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda _: 11 << 30)
    error = torch.OutOfMemoryError('CUDA out of memory')
    with pytest.raises(OutOfMemory, match=r'of 12\.0 GiB; it took 2\.75 GiB an image before'):
        explain_out_of_memory(error, batch(4), torch.device('cuda'))


def test_other_errors_pass():
    explain_out_of_memory(RuntimeError('shapes differ'), batch(2), torch.device('cpu'))


def test_in_a_training(tmp_path):
    trainer = toy_run.trainer(tmp_path)

    def step(*_):
        torch.empty(1 << 50)

    trainer.step = step
    with pytest.raises(OutOfMemory, match='2 images'):
        trainer.run()
