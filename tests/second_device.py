"""A device that is not the CPU, played by the CPU.

Tensors on it claim to be ``meta`` and keep their values in CPU tensors, so that results can be
compared with the CPU's.  An operation on them and on tensors of the CPU fails, as on a GPU.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE, HOST = torch.device('meta'), torch.device('cpu')


class DeviceTensor(Tensor):
    """A tensor on the second device; ``values`` on the CPU are what it holds."""

    @staticmethod
    def __new__(cls, values: Tensor) -> 'DeviceTensor':
        tensor = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
            requires_grad=values.requires_grad,
        )
        tensor.values = values.detach()
        return tensor

    def tolist(self) -> list:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f'{function}: outside of SecondDevice')


class SecondDevice(TorchDispatchMode):
    """Inside of it ``torch.device('meta')`` is the second device.

    ``strict`` forbids copies to the host, and blocking copies from it.
    """

    strict = False

    @contextlib.contextmanager
    def waiting_forbidden(self) -> Iterator[None]:
        self.strict = True
        try:
            yield
        finally:
            self.strict = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(isinstance(tensor, DeviceTensor) for tensor in tensors)
        target = kwargs.get('device')
        # torch.tensor(values, device=...) copies below this mode, and the values are lost.
        made = any(t.is_meta and not isinstance(t, DeviceTensor) for t in tensors)
        assert not made, 'a tensor of Python values waits for the device'
        # 1. Does the result lie on the second device, and is this a copy between the two?
        on_device = here if target is None else torch.device(target) == DEVICE
        if name == 'copy_':
            on_device = isinstance(args[0], DeviceTensor)
        copies = name in ('copy_', '_to_copy')
        crosses = copies and len({isinstance(t, DeviceTensor) for t in tensors} | {on_device}) > 1
        # 2. What a GPU would refuse or wait for.
        if here and not copies:
            strangers = [t for t in tensors if not isinstance(t, DeviceTensor) and t.dim() > 0]
            assert not strangers, f'{name}: a tensor {tuple(strangers[0].shape)} is on the CPU'
        if self.strict and crosses:
            blocking = not (kwargs.get('non_blocking') or (name == 'copy_' and args[2:] == (True,)))
            assert on_device, f'{name} to the CPU waits for the device'
            assert not blocking, f'{name} to the device waits for it'
        # 3. The same on the CPU.
        if target is not None:
            kwargs = kwargs | dict(device=HOST)
        plain_args, plain_kwargs = tree_map(_values, (args, kwargs))
        result = function(*plain_args, **plain_kwargs)
        if not on_device:
            return result
        result = tree_map(lambda x: DeviceTensor(x) if isinstance(x, Tensor) else x, result)
        return return_and_correct_aliasing(function, args, kwargs, result)


def _values(leaf):
    return leaf.values if isinstance(leaf, DeviceTensor) else leaf
