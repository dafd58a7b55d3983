"""Files to give away, read back by hrdet and by what others read."""

import re
import zipfile

import pytest
import torch

import hrdet
from hrdet.checkpoints import CheckpointError, export, load_checkpoint, read_checkpoint

CLASSES = ('ant', 'bee')


@pytest.fixture
def weights():
    """A 2019 detector of two classes, reduced to what conversion looks at."""
    return {
        'backbone.conv1.weight': torch.randn(4, 3, 3, 3),
        'backbone.bn1.num_batches_tracked': torch.tensor(7),
        'neck.fpn_convs.0.conv.weight': torch.randn(4, 4, 3, 3),
        'bbox_head.fc_cls.weight': torch.randn(3, 4),
        'bbox_head.fc_reg.weight': torch.randn(12, 4),
        'mask_head.conv_logits.weight': torch.randn(3, 4, 1, 1),
        'mask_head.0.conv_res.conv.bias': torch.randn(4),
    }


@pytest.fixture
def modern(weights):
    return {
        'backbone.conv1.weight': weights['backbone.conv1.weight'],
        'backbone.bn1.num_batches_tracked': torch.tensor(7),
        'neck.fpn_convs.0.conv.weight': weights['neck.fpn_convs.0.conv.weight'],
        'roi_head.bbox_head.fc_cls.weight': weights['bbox_head.fc_cls.weight'][[1, 2, 0]],
        'roi_head.bbox_head.fc_reg.weight': weights['bbox_head.fc_reg.weight'][4:],
        'roi_head.mask_head.conv_logits.weight': weights['mask_head.conv_logits.weight'][1:],
    }


@pytest.fixture
def write(tmp_path):
    def save(content):
        torch.save(content, tmp_path / 'in.pth')
        return tmp_path / 'in.pth'

    return save


def equal(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize('layout', ['hrdet', 'mmdet3', 'safetensors'])
def test_every_layout_gives_the_same_model(
    layout, weights, modern, write, tmp_path, key_list_model
):
    source = write({'state_dict': weights, 'meta': {'CLASSES': CLASSES, 'epoch': 12}})
    out = tmp_path / ('out.safetensors' if layout == 'safetensors' else 'out.pth')
    export(source, out, layout)
    back = read_checkpoint(out)
    assert equal(back['state_dict'], modern)
    assert back['meta']['box_convention'] == 'inclusive'
    assert back['meta']['epoch'] == 12
    model = key_list_model({key: tuple(value.shape) for key, value in modern.items()})
    report = load_checkpoint(model, out)
    assert report.complete
    assert report.classes == CLASSES
    assert equal(model.state_dict(), modern)


def test_mmdetection_3_finds_its_meta(weights, write, tmp_path):
    """Read as mmengine does, by torch.load; its visualizer wants a colour for each class."""
    source = write({'state_dict': weights, 'meta': {'CLASSES': CLASSES}})
    report = export(source, tmp_path / 'out.pth', 'mmdet3')
    meta = torch.load(tmp_path / 'out.pth')['meta']
    assert meta['dataset_meta']['classes'] == CLASSES
    first, second = meta['dataset_meta']['palette']
    assert first != second
    assert all(isinstance(part, int) and 0 <= part <= 255 for part in (*first, *second))
    assert 'inclusive boxes' in str(report)


def test_continuous_weights_with_classes_leave_nothing_to_warn_of(modern, write, tmp_path):
    meta = {'hrdet_version': '1', 'classes': list(CLASSES), 'box_convention': 'continuous'}
    source = write({'state_dict': modern, 'meta': meta})
    report = export(source, tmp_path / 'out.pth', 'mmdet3')
    assert report.warnings == []
    assert equal(read_checkpoint(tmp_path / 'out.pth')['state_dict'], modern)


@pytest.mark.parametrize(('meta', 'known'), [({}, False), ({'mmdet_version': '3.3.0'}, True)])
def test_unsigned_weights_get_no_convention(meta, known, modern, write, tmp_path):
    """Their layout is mmdetection 3's and hrdet's, and hrdet trains in both conventions."""
    export(write({'state_dict': modern, 'meta': meta}), tmp_path / 'out.pth')
    assert ('box_convention' in read_checkpoint(tmp_path / 'out.pth')['meta']) == known


def test_what_only_training_needs_is_left_out_and_named(weights, write, tmp_path):
    wrapped = {f'module.{key}': value for key, value in weights.items()}
    content = {'state_dict': wrapped, 'optimizer': {'state': {}}, 'ema': {}, 'meta': {'epoch': 1}}
    text = str(export(write(content), tmp_path / 'out.pth'))
    assert read_checkpoint(tmp_path / 'out.pth').keys() == {'state_dict', 'meta'}
    for line in ('dropped: mask_head.0.conv_res.conv.bias', 'left out: optimizer', 'left out: ema',
                 'contains no class names', '3 renamed, 3 reordered'):  # fmt: skip
        assert line in text
    assert 'left out: meta' not in text


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(weights, write, tmp_path, dtype):
    half = {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}
    report = export(write(half), tmp_path / 'out.pth')
    back = read_checkpoint(tmp_path / 'out.pth')['state_dict']
    assert {v.dtype for v in back.values()} == {torch.float32, torch.int64}
    assert report.widened == 5  # of six; the seventh is dropped, the sixth counts batches
    scores = half['bbox_head.fc_cls.weight'].float()
    assert torch.equal(back['roi_head.bbox_head.fc_cls.weight'], scores[[1, 2, 0]])


def test_no_more_is_saved_than_is_used(weights, write, tmp_path):
    """Dropped rows are gone from the disk as well, and channels_last weights are contiguous."""
    weights['backbone.conv1.weight'] = weights['backbone.conv1.weight'].to(
        memory_format=torch.channels_last
    )
    export(write(weights), tmp_path / 'out.pth')
    for value in read_checkpoint(tmp_path / 'out.pth')['state_dict'].values():
        assert value.is_contiguous()
        assert value.untyped_storage().nbytes() == value.nbytes
    with zipfile.ZipFile(tmp_path / 'out.pth') as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith('data.pkl'))
        assert str(tmp_path).encode() not in archive.read(pickled)


class TestAverages:
    """Of one model that was trained (2) and averaged (1)."""

    @pytest.fixture(params=['hrdet', 'mmengine', 'mmcv'])
    def source(self, request, modern, write):
        average = {key: torch.ones_like(value) for key, value in modern.items()}
        trained = {key: value + 1 for key, value in average.items()}
        if request.param == 'hrdet':
            ema = {'steps': 3, 'training': trained}
            return write({'state_dict': average, 'ema': ema, 'meta': {'hrdet_version': '1'}})
        if request.param == 'mmcv':
            flat = {f'ema_{key.replace(".", "_")}': value for key, value in trained.items()}
            return write({'state_dict': average | flat, 'meta': {}})
        # Its EMAHook swaps the two before it saves.
        ema = {f'module.{key}': value for key, value in trained.items()}
        ema['steps'] = torch.tensor(3)
        return write({'state_dict': average, 'ema_state_dict': ema})

    @pytest.mark.parametrize('average', [True, False])
    def test_are_taken_or_not(self, source, modern, tmp_path, average):
        export(source, tmp_path / 'out.pth', average=average)
        back = read_checkpoint(tmp_path / 'out.pth')['state_dict']
        assert back.keys() == modern.keys()
        assert {float(value.max()) for value in back.values()} == {1.0 if average else 2.0}

    def test_without_one_there_is_nothing_to_leave(self, weights, write, tmp_path):
        with pytest.raises(CheckpointError, match=r'holds no moving average'):
            export(write({'state_dict': weights}), tmp_path / 'out.pth', average=False)


def test_a_file_is_only_replaced_by_force_and_as_a_whole(weights, write, tmp_path):
    out = tmp_path / 'out.pth'
    out.write_text('mine')
    with pytest.raises(FileExistsError, match='only overwritten if forced'):
        export(write(weights), out)
    assert out.read_text() == 'mine'
    with pytest.raises(CheckpointError):
        export(write({'epoch': 1}), out, overwrite=True)
    assert out.read_text() == 'mine'
    export(write(weights), out, overwrite=True)
    assert 'state_dict' in read_checkpoint(out)


def test_the_hash_ends_the_name(weights, write, tmp_path):
    report = export(write(weights), tmp_path / 'out.pth', with_hash=True)
    assert report.path.name.startswith('out-')
    assert len(report.path.stem) == len('out-') + 8
    assert not (tmp_path / 'out.pth').exists()
    assert 'state_dict' in read_checkpoint(report.path)  # where it is checked


@pytest.mark.parametrize(('name', 'layout'), [('a.pth', 'safetensors'), ('a.safetensors', 'hrdet')])
def test_the_ending_tells_the_format(name, layout, weights, write, tmp_path):
    with pytest.raises(CheckpointError, match=r'end in \.safetensors'):
        export(write(weights), tmp_path / name, layout)


def test_strange_weights_are_refused(write, tmp_path):
    with pytest.raises(
        CheckpointError, match=r'belongs to no known family; its entries are encoder\.w'
    ):
        export(write({'encoder.w': torch.zeros(1)}), tmp_path / 'out.pth')


def test_the_writer_signs(weights, write, tmp_path):
    export(write(weights), tmp_path / 'out.pth')
    assert read_checkpoint(tmp_path / 'out.pth')['meta']['hrdet_version'] == hrdet.__version__


class TestTasks:
    """Classifiers and segmentors, by the key lists of the releases."""

    @pytest.mark.parametrize(('ours', 'official'), [
        ('tasks/mmpretrain_hrnet_w18', 'hrnet_release/cls_hrnet_w18'),
        ('tasks/mmpretrain_hrnet_w64', 'hrnet_release/cls_hrnet_w64'),
        ('tasks/mmseg_fcn_hr18s', 'tasks/official_seg_w18_small_v2'),
        ('tasks/mmseg_fcn_hr48', 'tasks/official_seg_w48'),
    ])  # fmt: skip
    @pytest.mark.parametrize('ending', ['pth', 'safetensors'])
    def test_official_names_and_back(
        self, ours, official, ending, shapes_of, weights_for, write, key_list_model, tmp_path
    ):
        shapes = shapes_of(ours)
        weights = weights_for(shapes)
        out = tmp_path / f'out.{ending}'
        export(write({'state_dict': weights, 'meta': {}}), out, 'official')
        content = read_checkpoint(out)
        written = content['state_dict'] if ending == 'safetensors' else content
        assert {k: tuple(v.shape) for k, v in written.items()} == shapes_of(official)
        biases = set(written) - set(to_official_names(shapes))
        assert biases
        assert all(not written[name].any() for name in biases)
        model = key_list_model(shapes)
        assert load_checkpoint(model, out).complete
        assert equal(model.state_dict(), weights)

    @pytest.mark.parametrize(('manifest', 'layout'), [
        ('tasks/mmpretrain_hrnet_w18', 'mmpretrain'), ('tasks/mmseg_fcn_hr18s', 'mmseg'),
    ])  # fmt: skip
    def test_from_official_to_openmmlab(
        self, manifest, layout, shapes_of, weights_for, write, tmp_path
    ):
        """The biases of the official file are in the running means, as in the published models."""
        sources = {'mmpretrain': 'hrnet_release/cls_hrnet_w18',
                   'mmseg': 'tasks/official_seg_w18_small_v2'}  # fmt: skip
        source = weights_for(shapes_of(sources[layout]))
        names, colours = ['a', 'b'], [[1, 2, 3], [4, 5, 6]]
        content = {'state_dict': source, 'meta': dict(CLASSES=names, PALETTE=colours)}
        report = str(export(write(content), tmp_path / 'out.pth', layout))
        assert report.count('folded into the norm that follows') == (4 if layout[-1] == 'n' else 1)
        back = torch.load(tmp_path / 'out.pth')
        assert {k: tuple(v.shape) for k, v in back['state_dict'].items()} == shapes_of(manifest)
        assert back['meta']['dataset_meta'] == dict(
            classes=('a', 'b'), palette=[(1, 2, 3), (4, 5, 6)]
        )
        norm, old = {
            'mmpretrain': ('neck.0.final_layer.bn', 'final_layer'),
            'mmseg': ('decode_head.convs.0.bn', 'last_layer'),
        }[layout]
        mean = back['state_dict'][f'{norm}.running_mean']
        assert torch.equal(mean, source[f'{old}.1.running_mean'] - source[f'{old}.0.bias'])

    @pytest.mark.parametrize(('key', 'layout', 'told'), [
        ('head.fc.weight', 'mmseg', 'write it as mmpretrain or hrdet'),
        ('decode_head.conv_seg.weight', 'mmdet3', 'write it as mmseg or hrdet'),
        ('roi_head.bbox_head.fc_cls.weight', 'official', 'write it as mmdet3 or hrdet'),
    ])  # fmt: skip
    def test_the_layout_of_another_task_is_refused(self, key, layout, told, write, tmp_path):
        weights = {'backbone.conv1.weight': torch.zeros(1), key: torch.zeros(2, 3)}
        with pytest.raises(CheckpointError, match=rf'holds {re.escape(key)}.*{told}'):
            export(write({'state_dict': weights}), tmp_path / 'out.pth', layout)

    def test_a_head_that_the_official_models_have_not(self, write, tmp_path):
        weights = {'decode_head.conv_seg.weight': torch.zeros(2, 3, 1, 1),
                   'decode_head.convs.1.conv.weight': torch.zeros(3, 3, 3, 3)}  # fmt: skip
        with pytest.raises(CheckpointError, match=r'no place for decode_head\.convs\.1'):
            export(write({'state_dict': weights}), tmp_path / 'out.pth', 'official')


def to_official_names(names):
    """The official names of entries that both layouts have, written out by hand."""
    words = [('backbone.', ''), ('neck.0.increase_layers', 'incre_modules'),
             ('neck.0.downsample_layers', 'downsamp_modules'),
             ('neck.0.final_layer', 'final_layer'),
             ('head.fc', 'classifier'), ('decode_head.convs.0', 'last_layer'),
             ('decode_head.conv_seg', 'last_layer.3')]  # fmt: skip
    for name in names:
        start, new = next((s, n) for s, n in words if name.startswith(s))
        rest = name.removeprefix(start)
        if new in ('downsamp_modules', 'final_layer', 'last_layer'):
            rest = rest.replace('.conv.', '.0.').replace('.bn.', '.1.')
        yield new + rest
