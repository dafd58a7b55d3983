"""The report of a test: the worst images first, its tables, and a page that works offline."""

import json
import re
import shutil
import subprocess
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from hrdet.data import ImageDataset
from hrdet.evaluation import Accuracy, CocoMetric
from hrdet.structures import ClassLabel, ClassScores, Detections, GroundTruth, ImageMeta
from hrdet.visualize import Report

SIZE = (60, 80)
BROWSERS = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')


class Boxes(ImageDataset):
    """Eight images with a cat at the left and a dog at the right."""

    classes, category_ids, source = ('cat', 'dog'), (1, 2), 'pets.json'
    image_ids = tuple(range(8))
    boxes = np.array([[5, 5, 35, 35], [45, 5, 75, 35.0]])

    def image(self, index):
        return np.full((*SIZE, 3), 90, np.uint8)

    def truth(self, index):
        return GroundTruth(self.boxes, np.array([0, 1]), np.zeros((0, 4)))

    def to_coco(self):
        annotations = [
            dict(image_id=i, category_id=k + 1, bbox=[x, 5, 30, 30], area=900, iscrowd=0)
            for i in self.image_ids
            for k, x in enumerate((5, 45))
        ]
        images = [dict(id=i, height=SIZE[0], width=SIZE[1]) for i in self.image_ids]
        categories = [dict(id=1, name='cat'), dict(id=2, name='dog')]
        return dict(images=images, categories=categories, annotations=annotations)


def report(dataset, evaluator, folder, predict, **options):
    """Report and evaluator after all images of the data set."""
    loader = SimpleNamespace(
        dataset=dataset, batch_sampler=SimpleNamespace(indices=range(len(dataset)))
    )
    made = Report(loader, folder, **options)
    for index in range(len(dataset)):
        meta = ImageMeta(f'some/{index}.jpg', dataset.image_ids[index], SIZE, SIZE, SIZE)
        for consumer in (evaluator, made):
            consumer.update(meta, predict(index))
    return made, made.write(evaluator, evaluator.compute(), 'mine.py </script>')


def detected(index):
    """All right on even images; a cat for the dog, and the cat missed, on odd ones."""
    if index % 2 == 0:
        return Detections(Boxes.boxes, np.array([0.9, 0.8]), np.array([0, 1]))
    return Detections(Boxes.boxes[1:], np.array([0.7 - 0.01 * index]), np.array([0]))


@pytest.fixture
def page(tmp_path):
    _, (path, _) = report(Boxes(), CocoMetric(Boxes()), tmp_path / 'report', detected)
    return path


def content(page):
    text = page.read_text()
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def test_the_page_of_a_detector(page):
    pytest.importorskip('hotcoco')
    data = content(page)
    assert [image['title'] for image in data['images'][:4]] == [f'{i}.jpg' for i in (1, 3, 5, 7)]
    assert data['images'][0]['outcomes'] == [
        [0, 'class', pytest.approx(0.69)], [0, 'missed', 0], [1, 'missed', 0]
    ]  # fmt: skip
    assert data['outcomes'] == ['class', 'missed', 'right']
    (section,) = data['sections']
    classes, confusions, errors = section['tables']
    assert classes['columns'][:4] == ['class, in %', 'objects', 'AP', 'AP50']
    assert [row[:2] for row in classes['rows']] == [['cat', 8], ['dog', 8]]
    assert ['dog', 'cat', 4] in confusions['rows']
    assert ['class', 'an object of another class', 4] in [row[:3] for row in errors['rows']]
    assert ['bbox_AP50', pytest.approx(50, abs=30)] in data['metrics']
    # Every file is there, and nothing comes from elsewhere.
    files = [image['file'] for image in data['images']] + section['pictures']
    assert section['pictures'] == ['pr_f1_bbox.png', 'confusion_matrix_bbox.png']
    assert all((page.parent / file).is_file() for file in [*files, 'contact_sheet.png'])
    assert not re.search(r'https?:|//cdn', page.read_text())


def test_a_page_of_the_worst_and_pictures_of_all(tmp_path):
    options = dict(every=True, limit=3)
    made, _ = report(Boxes(), CocoMetric(Boxes()), tmp_path, detected, **options)
    data = content(tmp_path / 'report.html')
    assert [image['title'] for image in data['images']] == ['1.jpg', '3.jpg', '5.jpg']
    assert len(list(tmp_path.glob('0*.jpg'))) == 8
    assert all((tmp_path / image['full']).is_file() for image in data['images'])
    assert len(made._worst) == 3


def test_the_page_of_a_classifier(tmp_path):
    class Classes(Boxes):
        labels = np.arange(8) % 2

        def truth(self, index):
            return ClassLabel(int(self.labels[index]))

    probabilities = np.random.default_rng(0).permutation(8) / 8
    data = Classes()
    _, (page, _) = report(
        data,
        Accuracy(data),
        tmp_path,
        lambda i: ClassScores(np.eye(2)[i % 2] * (2 * probabilities[i] - 1) + 1 - probabilities[i]),
    )
    shown = content(page)
    order = [int(image['title'][0]) for image in shown['images']]
    assert order == np.argsort(probabilities).tolist()
    assert {image['text'] for image in shown['images']} == {'right', 'wrong'}
    assert shown['sections'][0]['tables'][0]['columns'][1:] == [
        'images',
        'recall',
        'precision',
        'F1',
    ]


def test_what_cannot_be_drawn_is_one_warning(tmp_path, caplog):
    class Broken(Boxes):
        def image(self, index):
            raise OSError('gone')

    _, files = report(Broken(), CocoMetric(Boxes()), tmp_path, detected)
    assert files == []
    assert caplog.text.count('not in the report (OSError: gone)') == 1


def test_the_filters_in_a_browser(page):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f'none of {", ".join(BROWSERS)} is installed')
    # The filters as a user would set them, then the page as it stands.
    script = "$('outcome').value = 'missed'; filter(); </script>"
    changed = page.with_name('filtered.html')
    changed.write_text(page.read_text().replace('filter();\n</script>', script))
    for file, count in ((page, '8 of 8 images'), (changed, '4 of 8 images')):
        command = [
            browser,
            '--headless',
            '--no-sandbox',
            '--disable-gpu',
            '--dump-dom',
            file.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert f'<b id="count">{count}</b>' in done.stdout


def test_the_contact_sheet_has_worst_and_others(page):
    sheet = cv2.imread(str(page.with_name('contact_sheet.png')))
    assert sheet.shape[1] > 2 * 400
