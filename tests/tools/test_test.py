"""tools/test.py with classifiers and segmentors: metrics, results, pictures, mistakes."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from hrdet.apis import inference_model, init_model
from hrdet.data.datasets.palettes import SEGMENTATION_SOURCES
from tests.tools.conftest import read_json


@pytest.fixture
def tested(command, tmp_path, monkeypatch):
    """Runs tools/test.py in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def run(task, *arguments):
        return command('test', task.config, task.checkpoint, '--gpus', 0, *arguments)

    return run


def test_metrics_come_from_the_config_and_are_kept(tested, task):
    printed = tested(task, '--no-optimize')
    metrics = read_json(task.folder / 'work/metrics.json')
    (main, value), *_ = metrics.items()
    assert main in ('top1', 'mIoU')
    assert f'{100 * value:.2f}' in printed


def test_predictions_of_a_classifier(tested, classification, tmp_path):
    tested(classification, '--out', 'new/out.json', '--eval', 'accuracy')
    metrics = read_json('new/metrics.json')
    entries = read_json('new/out.json')
    data = classification.data
    assert [entry['gt_label'] for entry in entries] == list(data.labels)
    right = np.mean([entry['pred_label'] == entry['gt_label'] for entry in entries])
    assert metrics['top1'] == pytest.approx(right)
    model = init_model(classification.config, classification.checkpoint, 'cpu')
    scores = inference_model(model, data.path(1))['pred_scores']
    best = np.argsort(-scores, kind='stable')[:5].tolist()
    assert [top['label'] for top in entries[1]['top5']] == best
    assert entries[1]['pred_score'] == pytest.approx(float(scores.max()), abs=1e-4)
    assert entries[1]['pred_class'] == data.classes[best[0]]
    tested(classification, '--out', 'out.pkl')
    assert pickle.loads((tmp_path / 'out.pkl').read_bytes()) == entries


def test_label_maps_of_a_segmentor(tested, segmentation, tmp_path):
    tested(segmentation, '--out', 'maps', '--eval', 'mIoU', 'mFscore')
    assert {'mIoU', 'mFscore', 'mPrecision'} <= set(read_json('metrics.json'))
    model = init_model(segmentation.config, segmentation.checkpoint, 'cpu')
    for name in segmentation.data.image_ids:
        with Image.open(tmp_path / 'maps' / name.replace('.jpg', '.png')) as picture:
            assert picture.mode == 'P'
            labels = np.asarray(picture)
        expected = np.asarray(inference_model(model, f'{segmentation.data.source}/{name}'))
        assert (labels == expected).mean() > 0.999  # equal scores to rounding


def test_pictures(tested, task, tmp_path):
    tested(task, '--show-dir', 'shown', '--out', 'metrics.pkl', '--out-item', 'metrics')
    written = sorted(path.name for path in (tmp_path / 'shown').iterdir())
    others = ['confusion_matrix.png', 'contact_sheet.png', 'images', 'report.html']
    assert written[-4:] == others
    assert len(written) == len(task.data) + 4
    assert cv2.imread(str(tmp_path / 'shown' / written[0])).shape[0] > task.data.image(0).shape[0]
    assert pickle.loads((tmp_path / 'metrics.pkl').read_bytes())


def test_a_report_is_beside_the_metrics(tested, task):
    printed = tested(task)
    page = task.folder / 'work/report/report.html'
    assert f'look at: {page}' in printed
    assert f'{len(task.data)} images' in page.read_text()
    page.unlink()
    assert 'look at' not in tested(task, '--no-report')
    assert not page.exists()


@pytest.mark.parametrize(
    ('name', 'arguments', 'message'),
    [
        ('classification', ('--eval', 'mIoU'), "--eval mIoU: the config's evaluator Accuracy"),
        ('segmentation', ('--eval', 'mIou'), "measures mIoU, mDice, mFscore; did you mean 'mIoU'"),
        ('segmentation', ('--out', 'a.json'), 'written as a folder (a name without suffix)'),
        ('classification', ('--out', 'maps'), 'written as .json or .pkl'),
        ('classification', ('--out', 'a.csv', '--out-item', 'metrics'), 'a .json or .pkl file'),
        (
            'classification',
            ('--format-only',),
            'ClassFolders, only for CityscapesDataset',
        ),
        ('segmentation', ('--format-only', '--eval', 'mIoU'), 'computes no metrics'),
        ('segmentation', ('--cfg-options', 'test.dataset.ann_dir='), 'no label maps (ann_dir)'),
    ],
)
def test_mistakes_are_one_line(tested, request, name, arguments, message):
    printed = tested(request.getfixturevalue(name), *arguments)
    assert printed.startswith('error: ')
    assert message in printed


def test_augmented_views_are_those_of_the_config(tested, segmentation, tmp_path):
    printed = tested(segmentation, '--tta', '--out', 'views', '--no-optimize')
    assert 'test-time augmentation: short edges of 64 and 96 pixels, each plain' in printed
    tested(segmentation, '--aug-test', '--out', 'same', '--no-optimize')
    tested(segmentation, '--out', 'plain', '--no-optimize')
    for name in segmentation.data.image_ids:
        views, same, plain = (
            cv2.imread(str(tmp_path / folder / name.replace('.jpg', '.png')), -1)
            for folder in ('views', 'same', 'plain')
        )
        assert np.array_equal(views, same)
        assert not np.array_equal(views, plain)


def test_mirror_images_are_the_views_of_a_config_without_any(tested, classification):
    assert 'each image and its mirror image' in tested(
        classification, '--tta', '--out', 'views.json', '--no-optimize'
    )
    model = init_model(classification.config, classification.checkpoint, 'cpu')
    for entry in read_json('views.json')[:4]:
        batch = model.pipeline([cv2.imread(entry['path'])], ['x'])
        mirrored = replace(batch, images=batch.images.flip(3))
        scores = [model.predict(view)[0].numpy().scores for view in (batch, mirrored)]
        expected = np.mean(scores, axis=0)
        assert entry['pred_label'] == expected.argmax()
        assert entry['pred_score'] == pytest.approx(expected.max(), abs=1e-4)


def test_files_for_a_server_need_no_truth(tested, segmentation, tmp_path):
    """LoveDA's seven classes, of images alone."""
    content = torch.load(segmentation.checkpoint, weights_only=True)
    for name in ('weight', 'bias'):
        key = f'decode_head.conv_seg.{name}'
        content['state_dict'][key] = content['state_dict'][key][:7]
    content['meta']['classes'] = SEGMENTATION_SOURCES['loveda'].classes
    torch.save(content, tmp_path / 'loveda.pth')
    segmentation = replace(segmentation, checkpoint=tmp_path / 'loveda.pth')
    options = ('type=LoveDADataset', 'img_suffix=.jpg', 'ann_dir=', 'classes=None')
    options = ('--cfg-options', *(f'test.dataset.{option}' for option in options))
    printed = tested(segmentation, '--format-only', '--show-dir', 'shown', *options)
    folder = segmentation.folder / 'work/format_results'
    assert f'results: {folder}' in printed
    assert len(list(folder.iterdir())) == len(segmentation.data)
    labels = cv2.imread(str(folder / '000001.png'), -1)
    assert labels.shape == segmentation.data.image(0).shape[:2]
    assert labels.max() < 7
    assert (tmp_path / 'shown/contact_sheet.png').is_file()


def test_bad_images_are_left_out_on_demand(tested, classification, tmp_path):
    data = tmp_path / 'data'
    shutil.copytree(classification.folder / 'data', data)
    train = data / Path(classification.data.source).relative_to(classification.folder / 'data')
    broken = next(path for path in sorted(train.rglob('*')) if path.is_file())
    broken.write_bytes(b'broken')
    options = ('--cfg-options', f'test.dataset.data_prefix={train}')
    assert f'{broken}: not an image' in tested(classification, *options)
    printed = tested(classification, '--no-report', *options, 'runtime.on_bad_image=skip')
    assert f'1 of {len(classification.data)} images left out' in printed.splitlines()[-2]
    assert f'left out: {broken}: not an image' in printed.splitlines()[-1]
    assert 'top1' in read_json(classification.folder / 'work/metrics.json')
