"""The vector instructions of the processor, and one switch that limits their use.

``HRDET_CPU_CAPABILITY`` names the highest capability that hrdet, torch and oneDNN may use:

    portable      no vector instructions beyond those of every x86-64 processor
    avx2          256-bit vectors with fused multiply-add
    avx512        512-bit vectors
    avx512_bf16   products of bfloat16 pairs in 512-bit vectors
    amx           matrix tiles of bfloat16

Unset, everything that the processor has is used.  RoIAlign's two inner loops are not limited: their
results do not depend on the vectors.
"""

import os

import torch

from hrdet.registry import ConfigError

VARIABLE = 'HRDET_CPU_CAPABILITY'
# By name, ascending: the flag in torch.cpu.get_capabilities(), and how torch and oneDNN spell it.
_CAPABILITIES = {
    'portable': (None, 'default', 'SSE41'),
    'avx2': ('avx2', 'avx2', 'AVX2'),
    'avx512': ('avx512_f', 'avx512', 'AVX512_CORE'),
    'avx512_bf16': ('avx512_bf16', 'avx512', 'AVX512_CORE_BF16'),
    'amx': ('amx_bf16', 'avx512', 'AVX512_CORE_AMX'),
}


def available() -> list[str]:
    """The capabilities of this processor, ascending."""
    has = torch.cpu.get_capabilities()
    return [name for name, (flag, _, _) in _CAPABILITIES.items() if flag is None or has.get(flag)]


def capability() -> str:
    """The highest capability that may be used.

    Raises:
        ConfigError: ``HRDET_CPU_CAPABILITY`` is not a capability of this processor.
    """
    wanted, names = os.environ.get(VARIABLE), available()
    if wanted and wanted not in names:
        raise ConfigError(
            f'{VARIABLE}={wanted}: this processor has {", ".join(names)}; choose one of them, or '
            'unset the variable to use all'
        )
    return wanted or names[-1]


def limit() -> None:
    """Set the variables of torch and oneDNN, which they read at the first operation."""
    wanted = os.environ.get(VARIABLE)
    if wanted in available():
        _, os.environ['ATEN_CPU_CAPABILITY'], os.environ['ONEDNN_MAX_CPU_ISA'] = _CAPABILITIES[
            wanted
        ]
