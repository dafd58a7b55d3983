"""Models as files that run without hrdet: ONNX, OpenVINO and PyTorch's, checked after writing.

May change: a format is a writer and a runner.  Must stay: models know no format, inputs are pixels
as OpenCV loads them, and a file is never written without being compared with its model.
"""

from hrdet.export.comparison import Difference, compare, place
from hrdet.export.files import check_format, open_exported, write
from hrdet.export.tracing import Dynamic, largest_test_size, trace

__all__ = [
    'Difference',
    'Dynamic',
    'check_format',
    'compare',
    'largest_test_size',
    'open_exported',
    'place',
    'trace',
    'write',
]
