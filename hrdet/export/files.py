"""Files of traced models: write them with metadata for their users, and run them.

The suffix says which format a file has: ``.onnx``, or ``.pt2`` of torch.export.
"""

import inspect
import json
import logging
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

import hrdet
from hrdet.models.base import BaseModel
from hrdet.registry import ConfigError

Arrays = dict[str, np.ndarray]
_ONNX_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')


def check_format(path: Path) -> None:
    """Check that ``write`` can make this file.

    Raises:
        ConfigError: another suffix, or a package is missing.
    """
    if path.suffix not in ('.onnx', '.pt2'):
        raise ConfigError(f'{path}: an exported file ends in .onnx or .pt2')
    missing = [name for name in _ONNX_PACKAGES if find_spec(name) is None]
    if path.suffix == '.onnx' and missing:
        raise ConfigError(
            f'{path}: ONNX needs {", ".join(missing)}: pip install {" ".join(missing)} '
            f"(or hrdet's extra 'export')"
        )


def metadata(model: BaseModel) -> dict[str, str]:
    """The metadata of a file: strings by name."""
    preprocess = model.preprocess
    padded = '; sizes: float32 (N, 2), height and width of each image in the upper left of images'
    return dict(
        hrdet_version=hrdet.__version__,
        task=model.task,
        classes=json.dumps(model.classes, ensure_ascii=False),
        palette=json.dumps(model.palette),
        input='images: uint8 (N, 3, H, W), blue green red, not normalised'
        + padded * model.takes_padded,
        output=inspect.getdoc(model.predict_tensors),
        # Of the normalisation, which is in the graph.
        mean=json.dumps(preprocess.mean.tolist()),
        std=json.dumps(preprocess.std.tolist()),
        channel_order=preprocess.channel_order,
    )


def write(program: ExportedProgram, path: Path, model: BaseModel) -> None:
    """Write the ``program`` of a traced model, with the model's ``metadata``.

    Raises:
        ConfigError: the graph has an operator that ONNX lacks.
    """
    strings = metadata(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # torch warns of its own internals
        if path.suffix == '.pt2':
            torch.export.save(program, path, extra_files={'metadata.json': json.dumps(strings)})
        else:
            _write_onnx(program, path, strings)


def open_exported(path: Path) -> tuple[Callable[[Arrays], Arrays], dict[str, str]]:
    """The function of a file, from arrays by name to arrays by name, and its metadata."""
    return _open_pt2(path) if path.suffix == '.pt2' else _open_onnx(path)


def _write_onnx(program: ExportedProgram, path: Path, strings: Mapping[str, str]) -> None:
    from hrdet.export.onnx_operators import translations

    if any(str(node.target) == 'hrdet.soft_nms.default' for node in program.graph.nodes):
        raise ConfigError(
            f"{path}: ONNX has no soft-NMS: set nms=dict(type='nms', iou_thr=0.5) in test_cfg, or "
            f'export to .pt2'
        )
    # The exporters note that torchvision is missing, and which constants they did not fold.
    for name in ('torch.onnx', 'onnxscript'):
        logging.getLogger(name).setLevel(logging.ERROR)
    onnx = torch.onnx.export(
        program,
        dynamo=True,
        verbose=False,
        output_names=_output_names(program),
        custom_translation_table=translations(),
    )
    onnx.model.metadata_props.update(strings)
    onnx.save(str(path), external_data=False)


def _output_names(program: ExportedProgram) -> list[str]:
    """The keys of the dict that the program returns, in the order of its outputs."""
    return list(program.call_spec.out_spec.context)


def _open_onnx(path: Path) -> tuple[Callable[[Arrays], Arrays], dict[str, str]]:
    import onnxruntime

    # As many threads as torch has, so that times can be compared.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, inputs)))

    return run, session.get_modelmeta().custom_metadata_map


def _open_pt2(path: Path) -> tuple[Callable[[Arrays], Arrays], dict[str, str]]:
    files = {'metadata.json': ''}
    module = torch.export.load(path, extra_files=files).module()

    def run(inputs: Arrays) -> Arrays:
        outputs = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run, json.loads(files['metadata.json'])
