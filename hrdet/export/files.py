"""Files of traced models: write them with metadata for their users, and run them.

The name's end says which format a file has: ``.onnx``, ``.xml`` of OpenVINO (weights are in a .bin
beside it), ``.pt2`` of torch.export, or ``.aoti.pt2``, machine code for this processor.
"""

import inspect
import json
import logging
import os
import re
import shutil
import tempfile
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
Runner = tuple[Callable[[Arrays], Arrays], dict[str, str]]
_ONNX_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
_COMPILED = '.aoti.pt2'
# What formats need besides PyTorch: packages, and the extra of hrdet that has them.
_PACKAGES = {
    '.onnx': (_ONNX_PACKAGES, 'export'),
    '.xml': (('onnx', 'onnxscript', 'openvino'), 'openvino'),
    '.pt2': ((), ''),
}


def check_format(path: Path) -> None:
    """Check that ``write`` can make this file.

    Raises:
        ConfigError: another suffix, or a package or the C++ compiler is missing.
    """
    if path.suffix not in _PACKAGES:
        raise ConfigError(f'{path}: an exported file ends in .onnx, .xml, .pt2 or {_COMPILED}')
    packages, extra = _PACKAGES[path.suffix]
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f'{path}: {path.suffix} needs {", ".join(missing)}: pip install {" ".join(missing)} '
            f"(or hrdet's extra {extra!r})"
        )
    if path.name.endswith(_COMPILED) and not shutil.which(os.environ.get('CXX', 'g++')):
        raise ConfigError(
            f'{path}: {_COMPILED} needs a C++ compiler: install g++, or name one in CXX'
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
        # The suffix decides: compiled by AOTInductor, an ExportedProgram, OpenVINO, or ONNX.
        if path.name.endswith(_COMPILED):
            options = {'aot_inductor.metadata': strings}
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(path), inductor_configs=options
            )
        elif path.suffix == '.pt2':
            torch.export.save(program, path, extra_files={'metadata.json': json.dumps(strings)})
        elif path.suffix == '.xml':
            _write_openvino(program, path, strings)
        else:
            _write_onnx(program, path, strings)


def open_exported(path: Path) -> Runner:
    """The function of a file, from arrays by name to arrays by name, and its metadata."""
    if path.name.endswith(_COMPILED):
        return _open_compiled(path)
    return {'.pt2': _open_pt2, '.xml': _open_openvino, '.onnx': _open_onnx}[path.suffix](path)


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


def _write_openvino(program: ExportedProgram, path: Path, strings: Mapping[str, str]) -> None:
    """Write ONNX, and what OpenVINO makes of it."""
    import openvino

    # By way of a temporary ONNX file: the same graph as in an exported .onnx.
    with tempfile.TemporaryDirectory() as folder:
        onnx = Path(folder, 'model.onnx')
        _write_onnx(program, onnx, strings)
        try:
            model = openvino.convert_model(onnx)
        except Exception as error:  # of a class of its own
            operators = re.findall(r'Conversion is failed for: (.*)', str(error))
            raise ConfigError(
                f'{path}: OpenVINO cannot convert this model ({", ".join(operators) or error}): '
                f'export to .onnx or .pt2'
            ) from None
        for name, text in strings.items():
            model.set_rt_info(text, ['hrdet', name])
        openvino.save_model(model, path, compress_to_fp16=False)


def _open_openvino(path: Path) -> Runner:
    import openvino

    # float32 on processors that have bfloat16, too; as many threads as torch has.
    options = dict(INFERENCE_PRECISION_HINT='f32', INFERENCE_NUM_THREADS=torch.get_num_threads())
    model = openvino.Core().read_model(path)
    compiled = openvino.compile_model(model, 'CPU', options)
    strings = dict(model.get_rt_info(['hrdet']).value)

    def run(inputs: Arrays) -> Arrays:
        results = compiled(inputs)
        return {output.any_name: results[output] for output in compiled.outputs}

    return run, strings


def _open_compiled(path: Path) -> Runner:
    model = torch._inductor.aoti_load_package(str(path))

    def run(inputs: Arrays) -> Arrays:
        outputs = model(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run, model.get_metadata()


def _open_onnx(path: Path) -> Runner:
    import onnxruntime

    # As many threads as torch has, so that times can be compared.
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, inputs)))

    return run, session.get_modelmeta().custom_metadata_map


def _open_pt2(path: Path) -> Runner:
    files = {'metadata.json': ''}
    module = torch.export.load(path, extra_files=files).module()

    def run(inputs: Arrays) -> Arrays:
        outputs = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run, json.loads(files['metadata.json'])
