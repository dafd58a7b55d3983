"""A detector made ready for inference finds what the detector finds."""

import contextlib
import copy
import functools
import os
import pickle
import subprocess
import sys
import threading
import types

import pytest
import torch
from torch import nn

from hrdet.models import optimize, optimize_graphs
from hrdet.models.backbones import HRNet
from hrdet.models.heads import FCNMaskHead
from hrdet.models.layers import BasicBlock, Bottleneck
from hrdet.models.layers.norm import SyncBN
from hrdet.models.necks import HRFPN
from hrdet.models.optimize_graphs import GraphCache, Recorder
from hrdet.models.optimize_layers import (
    FastBasicBlock,
    FastBottleneck,
    FastConv2d,
    FastHRFPN,
    WinogradConv2d,
    fast_layers,
)
from hrdet.registry import ConfigError
from hrdet.structures import Batch, Views
from tests.models import small_batches as batches
from tests.models import small_detectors as small
from tests.models import test_fcos as fcos


def settled(model, batch):
    """Norms as after a training: with the statistics of their input, uneven scales and shifts."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        model.extract(batch)
    return model.eval()


class Branches(nn.Module):
    """An HRNet whose maps have the channels that the small detectors take."""

    def __init__(self, norm_cfg):
        super().__init__()
        self.trunk = HRNet(width='18-small', norm_cfg=norm_cfg)
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, small.WIDTH, 1, bias=False), nn.BatchNorm2d(small.WIDTH))
            for c in self.trunk.out_channels
        )

    def forward(self, images):
        return [conv(x) for conv, x in zip(self.convs, self.trunk(images))]


def detector(kind, norm_cfg=None):
    model = small.detector(kind)
    model.backbone = Branches(norm_cfg or dict(type='BN'))
    return settled(model, batches.batch())


def assert_same(found, expected, score=1e-3, pixels=1e-3):
    for got, wanted in zip(found, expected, strict=True):
        assert len(wanted) > 3
        assert got.labels.tolist() == wanted.labels.tolist()
        torch.testing.assert_close(got.scores, wanted.scores, rtol=0, atol=score)
        # Coordinates of hundreds of pixels have fewer digits left: rounding grows with them.
        torch.testing.assert_close(got.boxes, wanted.boxes, rtol=2e-5, atol=pixels)
        if wanted.masks is not None:
            assert [m['size'] for m in got.masks] == [m['size'] for m in wanted.masks]


@pytest.mark.parametrize('kind', small.KINDS)
def test_detections_are_those_of_the_detector(kind):
    model, batch = detector(kind), batches.batch(with_truth=False)
    before = copy.deepcopy(model.state_dict())
    assert_same(optimize(model).predict(batch), model.predict(batch))
    assert list(model.state_dict()) == list(before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_fcos():
    model, batch = fcos.make_detector('inclusive').eval(), fcos.make_batch()
    assert_same(optimize(model).predict(batch), model.predict(batch))


@pytest.mark.parametrize('threads', [1, 2])
def test_on_a_cpu_an_image_a_thread(monkeypatch, threads):
    """Also of several views; the images of a group, or a last one alone, keep their order."""
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    model, pair = detector('faster'), batches.batch(with_truth=False)
    three = Batch(
        torch.cat([pair.images, pair.images[:1]]),
        pair.metas + pair.metas[:1],
        torch.cat([pair.input_sizes, pair.input_sizes[:1]]),
        torch.cat([pair.padded_sizes, pair.padded_sizes[:1]]),
    )
    fast, seen = optimize(model), []
    fast.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    for images, forms in ((three, 1), (Views([three, three]), 2)):
        assert_same(fast.predict(images), model.predict(images))
        sizes = [1, 1, 1] if threads == 1 else [2, 1]
        assert seen == [size for size in sizes for _ in range(forms)]
        seen.clear()


def test_row_major_maps():
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast = optimize(model, memory_format=torch.contiguous_format)
    assert_same(fast.predict(batch), model.predict(batch))


def test_bfloat16_is_as_close_as_it_can_be():
    """Features are no further off than those of the network itself in bfloat16.

    But for chance: a level of few pixels has few rounding errors to average, 1.04 was seen.
    """
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast, plain = optimize(model, torch.bfloat16), copy.deepcopy(model)
    plain.backbone.bfloat16()
    with torch.no_grad():
        wanted, images = model.extract(batch), model.preprocess(batch)
        for one, other, exact in zip(
            fast.extract(batch), plain.backbone(images.bfloat16()), wanted
        ):
            assert one.dtype == torch.bfloat16
            assert (one - exact).abs().mean() <= 1.5 * (other - exact).abs().mean()


@pytest.mark.parametrize('kind', small.KINDS)
def test_bfloat16_predicts(kind):
    """Also where the heads get regions of bfloat16, and with several views."""
    batch, mirrored = (batches.batch(with_truth=False, flipped=f) for f in (False, True))
    fast = optimize(detector(kind), torch.bfloat16)
    for found in fast.predict(batch) + fast.predict(Views([batch, mirrored])):
        assert len(found) > 3
        assert found.scores.dtype == found.boxes.dtype == torch.float32


def test_last_layers_stay_float32():
    fast = optimize(detector('faster'), torch.bfloat16)
    logits, deltas = fast.roi_head.bbox_head(
        torch.randn(5, small.WIDTH, small.BOX, small.BOX).bfloat16()
    )
    for values in (logits, deltas):
        assert (values != values.bfloat16().float()).float().mean() > 0.9
    assert fast.roi_head.bbox_head.shared_fcs[0].weight.dtype == torch.bfloat16


def test_matrix_units_for_bfloat16_are_used(monkeypatch):
    """A processor with AMX multiplies bfloat16 faster than Winograd saves."""
    kinds = kinds_of(optimize(detector('faster'), torch.bfloat16))
    assert {WinogradConv2d, FastConv2d} <= kinds
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: {'amx_bf16': True})
    kinds = kinds_of(optimize(detector('faster'), torch.bfloat16))
    assert WinogradConv2d not in kinds
    assert WinogradConv2d in kinds_of(optimize(detector('faster')))


def kinds_of(model):
    return {type(m) for m in model.modules()}


def test_blocks_take_sums_and_relus_where_convolutions_write():
    kinds = kinds_of(optimize(detector('faster')))
    assert {FastBasicBlock, FastBottleneck} <= kinds
    assert not {BasicBlock, Bottleneck} & kinds


def test_norms_that_do_not_fold():
    model, batch = detector('faster', dict(type='GN', num_groups=2)), batches.batch()
    fast = optimize(model)
    assert {BasicBlock, Bottleneck, WinogradConv2d} <= kinds_of(fast)
    assert_same(fast.predict(batch), model.predict(batch))


@pytest.mark.parametrize('norm_cfg', [None, dict(type='GN', num_groups=2)], ids=['plain', 'GN'])
@pytest.mark.parametrize('branches', [1, 2, 4])
def test_neck(branches, norm_cfg):
    neck = HRFPN([18, 36, 72, 144][:branches], 20, norm_cfg=norm_cfg).eval()
    fast = copy.deepcopy(neck).requires_grad_(False).to(memory_format=torch.channels_last)
    fast_layers(fast, torch.float32)
    assert type(fast) is FastHRFPN
    maps = [
        torch.randn(2, channels, -(-19 // 2**i), -(-30 // 2**i))
        for i, channels in enumerate(neck.in_channels)
    ]
    with torch.no_grad():
        for got, wanted in zip(fast(maps), neck(maps), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_products_of_bfloat16_where_the_processor_has_them(monkeypatch):
    """In layers of many channels only."""
    model = detector('faster')
    capabilities = {}
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities)
    for can in (True, False):
        capabilities['avx512_bf16'] = can
        for dtype in (torch.bfloat16, torch.float32):
            convs = [m for m in optimize(model, dtype).modules() if type(m) is WinogradConv2d]
            half = {m.in_channels for m in convs if m.weight.dtype == torch.bfloat16}
            assert half == ({144} if can and dtype is torch.bfloat16 else set())


@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), SyncBN()], ids=['BN', 'SyncBN'])
def test_every_norm_is_folded(norm_cfg):
    fast = optimize(detector('faster', norm_cfg))
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fast.modules())


def without_operators(monkeypatch):
    monkeypatch.setattr(torch.ops, 'mkldnn', types.SimpleNamespace())


def with_other_arguments(monkeypatch):
    other = types.SimpleNamespace(_convolution_pointwise=lambda x, weight: x)
    monkeypatch.setattr(torch.ops, 'mkldnn', other)


@pytest.mark.parametrize('change', [without_operators, with_other_arguments])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_torch_without_its_private_operators(change, dtype, monkeypatch):
    model, batch = detector('mask'), batches.batch(with_truth=False)
    change(monkeypatch)
    fast = optimize(model, dtype)
    assert WinogradConv2d in kinds_of(fast)
    assert not {FastConv2d, FastHRFPN} & kinds_of(fast)
    assert all(len(found) > 3 for found in fast.predict(batch))
    if dtype is torch.float32:
        assert_same(fast.predict(batch), model.predict(batch))


OLD_PROCESSOR = """
import torch
from tests.models import test_optimize as tests

fast = tests.optimize(tests.detector('faster'), torch.bfloat16)
assert all(len(found) > 3 for found in fast.predict(tests.batches.batch(with_truth=False)))
"""


def test_bfloat16_on_a_processor_without_it(pytestconfig):
    """oneDNN is told that there is no AVX-512."""
    done = subprocess.run(
        [sys.executable, '-c', OLD_PROCESSOR],
        cwd=pytestconfig.rootpath,
        env=os.environ | {'ONEDNN_MAX_CPU_ISA': 'AVX2'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_chance_stays():
    model = detector('faster')
    before = torch.get_rng_state()
    optimize(model)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_copies_of_an_optimized_detector(dtype):
    """Through a file, and beside it: the copy has its own weights."""
    fast, batch = optimize(detector('mask'), dtype), batches.batch(with_truth=False)
    expected = fast.predict(batch)
    copies = [copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))]
    for parameter in fast.parameters():
        parameter.zero_()
    for other in copies:
        assert_same(other.predict(batch), expected, score=0, pixels=0)


def test_a_detector_of_half_precision():
    model, batch = detector('mask').bfloat16(), batches.batch(with_truth=False)
    fast = optimize(model)
    assert {p.dtype for p in fast.parameters()} == {torch.float32}
    assert all(len(found) > 3 for found in fast.predict(batch))


def test_training_is_refused():
    model = detector('faster')
    model.backbone.trunk.stage3.train()
    with pytest.raises(ValueError, match=r'backbone.trunk.stage3 is in training mode.*eval'):
        optimize(model)


def test_what_does_not_fit_is_refused(monkeypatch):
    model = detector('faster')
    with pytest.raises(ValueError, match='a detector, not a HRNet'):
        optimize(model.backbone.trunk)
    with pytest.raises(ValueError, match=r'float16 is for GPUs.*bfloat16'):
        optimize(model, torch.float16)
    with pytest.raises(ValueError, match=r'dtype must be one of.*not torch.float64'):
        optimize(model, torch.float64)
    with pytest.raises(ValueError, match='CUDA graphs need a model on a GPU'):
        optimize(model, graph=True)
    on_a_gpu = types.SimpleNamespace(device=torch.device('cuda'))
    monkeypatch.setattr(model, 'parameters', lambda: iter([on_a_gpu]))
    for graph in (100, -32):
        with pytest.raises(ValueError, match=f'or a multiple of 32, not {graph}'):
            optimize(model, graph=graph)
    with pytest.raises(ValueError, match='graph and compile exclude each other'):
        optimize(model, graph=True, compile=True)


def test_a_norm_elsewhere_is_found_out():
    model = detector('faster')

    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(small.WIDTH, small.WIDTH, 1)
            self.bn = nn.BatchNorm2d(small.WIDTH)
            nn.init.uniform_(self.bn.bias)

        def forward(self, features):
            return [self.conv(self.bn(x)) for x in features]

    model.neck = Crossed().eval()
    with pytest.raises(ValueError, match='does not follow the convolution'):
        optimize(model)


def test_norms_of_heads_fold_where_their_order_is_that_of_use():
    """Not in a head that takes its layers in another order."""

    class Crossed(nn.Module):
        def __init__(self, head):
            super().__init__()
            self.conv = nn.Conv2d(small.WIDTH, small.WIDTH, 1)
            self.bn = nn.BatchNorm2d(small.WIDTH)
            nn.init.uniform_(self.bn.weight, 0.2, 3)
            self.head, self.num_classes = head, head.num_classes
            self.coder = head.coder

        def forward(self, regions):
            return self.head(self.conv(self.bn(regions)))

        def decode(self, *args, **options):
            return self.head.decode(*args, **options)

    model, batch = detector('mask'), batches.batch(with_truth=False)
    norms = dict(num_convs=2, in_channels=small.WIDTH, conv_out_channels=small.WIDTH)
    loss = model.roi_head.mask_head.loss_mask
    head = FCNMaskHead(small.CLASSES, loss, **norms, norm_cfg=dict(type='BN'))
    model.roi_head.mask_head = head
    model.roi_head.bbox_head = Crossed(model.roi_head.bbox_head)
    model.eval()
    fast = optimize(model)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fast.roi_head.mask_head.modules())
    assert_same(fast.predict(batch), model.predict(batch))


def test_an_optimized_detector_is_refused():
    with pytest.raises(ConfigError, match='optimized already'):
        optimize(optimize(detector('faster')))


class Fakes:
    """Graphs and streams for a CPU: what is captured is kept as a call, and replayed as one."""

    def __init__(self, monkeypatch):
        self.capturing, self.captures, self.streams, self.log = False, [], [], []
        for name in ('Stream', 'CUDAGraph', 'graph', 'stream', 'device'):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, 'current_stream', lambda: self.streams[-1])
        monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: self.capturing)
        monkeypatch.setattr(torch.cuda, 'graph_pool_handle', object)
        monkeypatch.setattr(optimize_graphs, '_stream', functools.cache(self._branch))
        self.streams.append(self.Stream('cuda:1'))

    def Stream(self, device):
        stream = types.SimpleNamespace(device=device, waits=[])
        stream.wait_stream = stream.waits.append
        return stream

    def _branch(self, index, device):
        return self.Stream(device)

    def CUDAGraph(self):
        return types.SimpleNamespace(replay=lambda: self.log.append('replay'))

    @contextlib.contextmanager
    def stream(self, stream):
        self.streams.append(stream)
        yield
        self.streams.pop()

    @contextlib.contextmanager
    def device(self, device):
        self.log.append(str(device))
        yield

    @contextlib.contextmanager
    def graph(self, graph, **where):
        self.captures.append(where)
        self.capturing = True
        with self.stream(where['stream']):
            yield
        self.capturing = False


def test_capture(monkeypatch):
    """One pool and stream for all graphs, on the model's device, undisturbed by other threads."""
    fakes = Fakes(monkeypatch)
    record, runs = Recorder(torch.device('cuda:1')), []

    def function(x):
        runs.append((fakes.capturing, fakes.streams[-1]))
        return x + 1

    images = torch.zeros(2)
    graphs = [record(function, images) for _ in range(2)]
    first, second = fakes.captures
    assert first == second
    assert first['capture_error_mode'] == 'thread_local'
    # Warm, then captured, on one stream, which began after the caller's.
    assert runs == [(captured, first['stream']) for captured in (False, True)] * 2
    assert first['stream'].waits == [fakes.streams[0]] * 2
    assert fakes.streams[0].waits == [first['stream']] * 2
    assert fakes.log == ['cuda:1'] * 2
    # What was captured read a copy of the inputs, which new ones are written into.
    images += 5
    assert graphs[0](torch.full((2,), 7.0)).tolist() == [1, 1]
    assert fakes.log[2:] == ['replay']


def test_graphs_replay_a_detector(monkeypatch):
    """What is recorded where, with plain calls in the place of graphs."""
    recorded = []

    class Record:
        def __init__(self, device):
            self.device = device

        def __call__(self, function, inputs):
            recorded.append((function, self.device))
            return function

    fakes = Fakes(monkeypatch)
    monkeypatch.setattr(optimize_graphs, 'Recorder', Record)
    model, batch = detector('mask'), batches.batch(with_truth=False)
    fast = optimize(model)
    optimize_graphs.graphed(fast)
    for fakes.capturing in (False, True):
        assert_same(fast.predict(batch), model.predict(batch))
    assert [str(device) for _, device in recorded] == ['cpu'] * 2  # the trunk and the first head


def test_branches_fork_and_join(monkeypatch):
    """In a graph every branch waits for the caller's stream, and that one for every branch."""
    fakes = Fakes(monkeypatch)
    main, seen = fakes.streams[0], []

    def branch(x):
        seen.append(fakes.streams[-1])
        return x * 2

    assert optimize_graphs._side_by_side([branch] * 3, [1, 2, 3]) == [2, 4, 6]
    assert len({id(stream) for stream in seen}) == 3
    assert all(stream.waits == [main] for stream in seen)
    assert main.waits == seen


@pytest.fixture
def exact_convs():
    """Not in TF32, in which two forms of a network differ by its rounding."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.usefixtures('exact_convs')
@pytest.mark.parametrize('kind', small.KINDS)
@pytest.mark.parametrize('graph', [False, True, 64])
def test_on_a_gpu(kind, graph):
    model = detector(kind).cuda()
    model.preprocess.size_divisor = graph if graph > 1 else 32
    fast = optimize(model, graph=graph)
    for seed in (1, 2, 3):
        for factor in (1, 1.5):
            batch = batches.batch(with_truth=False, factor=factor, seed=seed).to('cuda')
            assert_same(fast.predict(batch), model.predict(batch))


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.usefixtures('exact_convs')
def test_views_and_fcos_on_a_gpu():
    """Two views keep their own features; the graphs of FCOS hold its whole head."""
    views = Views([batches.batch(with_truth=False, flipped=f) for f in (False, True)]).to('cuda')
    model = detector('cascade_mask').cuda()
    assert_same(optimize(model, graph=True).predict(views), model.predict(views))
    model, batch = fcos.make_detector('inclusive').eval().cuda(), fcos.make_batch().to('cuda')
    fast = optimize(model, graph=True)
    for _ in range(2):
        assert_same(fast.predict(batch), model.predict(batch))


@pytest.mark.gpu
@on_a_gpu
@pytest.mark.parametrize('graph', [False, True])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_on_a_gpu(dtype, graph):
    """Features differ from those in float32 by dozens of the type's rounding errors."""
    model, batch = detector('mask').cuda(), batches.batch(with_truth=False).to('cuda')
    fast = optimize(model, dtype, graph=graph)
    with torch.no_grad():
        for _ in range(2):
            for one, exact in zip(fast.extract(batch), model.extract(batch)):
                assert one.dtype == dtype
                error = (one - exact).abs().mean() / exact.abs().mean()
                assert error < 60 * torch.finfo(dtype).eps
    assert all(len(found) > 3 for found in fast.predict(batch))


@pytest.mark.gpu
@on_a_gpu
def test_recording_beside_a_thread_that_pins_memory():
    """As the loader's does for every batch."""
    model, stop = detector('faster').cuda(), threading.Event()

    def pin():
        while not stop.is_set():
            batches.batch(with_truth=False).pin_memory().to('cuda')

    thread = threading.Thread(target=pin)
    thread.start()
    try:
        fast = optimize(model, graph=True)
        for factor in (1, 1.5, 2, 2.5, 3):
            batch = batches.batch(with_truth=False, factor=factor).to('cuda')
            assert len(fast.predict(batch)) == 2
    finally:
        stop.set()
        thread.join()


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason='needs two CUDA devices')
@pytest.mark.usefixtures('exact_convs')
def test_on_a_second_gpu():
    """Which is not the current one."""
    model, batch = detector('faster').to('cuda:1'), batches.batch(with_truth=False).to('cuda:1')
    fast = optimize(model, graph=True)
    for _ in range(2):
        assert_same(fast.predict(batch), model.predict(batch))


def test_compiled(monkeypatch):
    """Without the compiler behind it, which takes a minute."""
    traced = functools.partialmethod(nn.Module.compile, backend='eager')
    monkeypatch.setattr(nn.Module, 'compile', traced)
    model, batch = detector('faster'), batches.batch(with_truth=False)
    assert_same(optimize(model, compile=True).predict(batch), model.predict(batch))


def test_graphs_are_kept_for_the_usual_shapes():
    recorded = []

    def record(function, inputs):
        recorded.append(tuple(inputs.shape))
        kept = function(inputs)

        def replay(new):  # a graph writes into the memory of its first run
            kept.copy_(function(new))
            return kept

        return replay

    cache = GraphCache(lambda x: x + 1, record, limit=2)
    first = cache(torch.zeros(2))
    assert cache(torch.ones(2)).tolist() == [2, 2]
    assert first.tolist() == [1, 1]  # not overwritten by the second call
    for size in (3, 4, 4, 2, 4, 3):  # 4 drives out 3 when it comes the third time
        assert cache(torch.full((size,), float(size))).tolist() == [size + 1] * size
    assert recorded == [(2,), (3,), (4,)]
    assert len(cache.graphs) == 2


@pytest.mark.usefixtures('exact_convs')
def test_graphs_keep_their_precision():
    recorded = []
    cache = GraphCache(torch.neg, lambda function, _: recorded.append(function) or function)
    for torch.backends.cudnn.allow_tf32 in (False, True, False):
        cache(torch.zeros(2))
    assert len(recorded) == 2


def test_many_shapes_in_turn_are_not_recorded_again_and_again():
    recorded = []

    def record(function, inputs):
        recorded.append(inputs.shape)
        return function

    cache, shapes = GraphCache(torch.neg, record, limit=4), torch.Generator().manual_seed(0)
    for size in torch.randint(1, 30, (1000,), generator=shapes).tolist():
        cache(torch.zeros(size))
    assert len(recorded) < 20


def test_padding_to_a_multiple_keeps_that_of_the_config(monkeypatch):
    module = sys.modules[optimize.__module__]  # hidden by the function of its name
    monkeypatch.setattr(module, '_check', lambda *_: None)
    monkeypatch.setattr(module, 'graphed', lambda _: None)
    model = detector('faster')
    model.preprocess.size_divisor = 24
    fast = optimize(model, graph=32)
    assert fast.preprocess[0].size_divisor == 96
    assert model.preprocess.size_divisor == 24
