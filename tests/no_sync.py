"""A mode in which an operation that would wait for the device raises, on the CPU too."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

DATA_DEPENDENT = ('nonzero', '_local_scalar_dense', 'masked_select', 'unique', 'bincount', 'equal')


class NoSync(TorchDispatchMode):
    """Raises on operations whose result's shape, or whose Python value, depends on data."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert not name.startswith(DATA_DEPENDENT), f'{name} waits for the device'
        if name.startswith(('index', 'index_put')) and len(args) > 1:
            indices = args[1] if isinstance(args[1], list | tuple) else ()
            for index in indices:
                assert index is None or index.dtype not in (torch.bool, torch.uint8), (
                    'an index by a mask waits for the device'
                )
        assert name != 'repeat_interleave' or function._overloadname != 'Tensor'
        return function(*args, **(kwargs or {}))
