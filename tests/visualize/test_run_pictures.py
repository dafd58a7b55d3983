"""Pictures of a run: they show the first batch, and never stop a training."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from hrdet.data import ImageDataset
from hrdet.data.datasets.statistics import label_statistics, of_boxes, of_maps
from hrdet.data.datasets.wrappers import ConcatDataset, RepeatDataset
from hrdet.data.samplers import AspectGroupBatchSampler
from hrdet.structures import ClassLabel, ImageMeta, Sample, SegmentationMap
from hrdet.tracking.summary import summary
from hrdet.visualize import plot_labels
from hrdet.visualize.run_pictures import draw_labels, draw_start

SIZE = (40, 60)


class Shades(ImageDataset):
    """Images of one shade each, which the augmentation draws."""

    classes, image_ids = ('a', 'b', 'c'), tuple(range(6))
    labels = np.array([0, 0, 0, 1, 1, 0])

    def sample(self, index, rng):
        image = np.full((*SIZE, 3), rng.integers(30, 220), np.uint8)
        meta = ImageMeta(f'{index}.jpg', index, SIZE, SIZE, SIZE)
        return Sample(image, meta, ClassLabel(int(self.labels[index])))


def trainer(folder, dataset):
    sampler = AspectGroupBatchSampler(np.zeros(len(dataset), np.uint8), 3, seed=5)
    loader = DataLoader(dataset, batch_sampler=sampler, collate_fn=list)
    return SimpleNamespace(
        loader=loader, validation=None, work_dir=folder, epoch=1, position=1, iter=3
    )


def test_the_batch_that_comes_first_is_drawn(tmp_path):
    run = trainer(tmp_path, Shades())
    draw_start(run)
    sheet = cv2.imread(str(tmp_path / 'train_batch.png'))
    sampler = run.loader.batch_sampler
    sampler.set_epoch(1)
    sampler.skip(1)
    first = next(iter(run.loader))
    middle = sheet[150]  # through the images, which are enlarged to tiles of 400 pixels
    shades = [int(middle[10 + 200 + 410 * i, 0]) for i in range(3)]
    assert shades == [int(sample.image[0, 0, 0]) for sample in first]
    assert (tmp_path / 'labels.png').is_file()


def test_what_cannot_be_drawn_is_a_warning(tmp_path, caplog):
    class Broken(Shades):
        def sample(self, index, rng):
            raise RuntimeError('no such pixels')

    draw_start(trainer(tmp_path, Broken()))
    assert 'train_batch.png: not drawn (no such pixels)' in caplog.text
    assert (tmp_path / 'labels.png').is_file()
    draw_start(trainer(tmp_path / 'gone', list(range(6))))  # no data set of hrdet: nothing


def test_statistics_count_each_image_once():
    data = ConcatDataset([RepeatDataset(Shades(), 3), Shades()])
    found = label_statistics(data)
    assert (found.unit, found.counts.tolist()) == ('images', [8, 4, 0])

    boxes = np.array([[0, 0, 30, 20], [30, 20, 60, 40.0]])
    found = of_boxes(('a', 'b'), boxes, np.array([1, 1]), np.array([SIZE, SIZE]))
    assert found.counts.tolist() == [0, 2]
    assert found.boxes == pytest.approx(np.array([[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5]]))

    class Maps(Shades):
        def truth(self, index):
            return SegmentationMap(np.array([[0, 1, 1, 255]], np.uint8))

    assert of_maps(Maps()).counts.tolist() == [6, 12, 0]


def test_the_picture_of_labels(tmp_path):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 30, (200, 2))
    boxes = np.concatenate((corners, corners + 10), 1)
    many = of_boxes(
        tuple(f'c{i}' for i in range(90)), boxes, rng.integers(0, 80, 200), np.full((200, 2), 40)
    )
    plot_labels(dict(train=many, val=many), tmp_path / 'new' / 'labels.png')
    picture = cv2.imread(str(tmp_path / 'new' / 'labels.png'))
    assert (np.ptp(picture.astype(int), axis=-1) > 60).mean() > 0.02
    draw_labels(dict(x=Shades()), tmp_path / 'labels.png')
    # class c has no image: a red cross
    picture = cv2.imread(str(tmp_path / 'labels.png')).astype(int)
    assert (np.abs(picture - (82, 78, 196)).max(-1) < 30).any()


def test_the_summary_names_the_best_epoch_and_the_next_command(tmp_path):
    lines = ['{"mode": "train", "step": 5, "loss": 1.0}']
    for epoch, ap in ((1, 0.2), (2, 0.4), (3, 0.3)):
        lines.append(f'{{"mode": "val", "step": {5 * epoch}, "epoch": {epoch}, "bbox_AP": {ap}}}')
    (tmp_path / 'log.jsonl').write_text('\n'.join(lines))
    for name in ('mine.py', 'best_bbox_AP.pth', 'curves.png'):
        (tmp_path / name).touch()
    time, best, files, command = summary(tmp_path, 3661)
    assert time == 'time: 1:01:01'
    assert best.startswith('best: bbox_AP 0.4000 in epoch 2, iteration 10: ')
    assert files == f'files: curves.png, log.jsonl in {tmp_path}'
    weights = Path(tmp_path, 'best_bbox_AP.pth')
    assert command.endswith(f' {tmp_path / "mine.py"} {weights}')
    assert summary(tmp_path / 'empty', 1) == ['time: 0:00:01']
