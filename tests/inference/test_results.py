"""Results as a notebook uses them."""

import json
import pickle
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from hrdet.inference import Results
from hrdet.inference.image_result import Origin
from hrdet.inference.results import present
from hrdet.structures import ClassScores, Detections, LabelMap
from hrdet.visualize import Style

NAMES = ('ant', 'bee', 'cat')
IMAGE = np.full((60, 80, 3), 128, np.uint8)
MASKS = np.zeros((3, 60, 80), bool)
MASKS[0, 10:40, 10:30] = MASKS[1, 5:9, 5:9] = MASKS[2, 50:, :] = True
RLES = [coco_mask.encode(np.asfortranarray(mask, np.uint8)) for mask in MASKS]


def detections(source=IMAGE, masks=RLES, name='street.jpg'):
    boxes = np.array([[10, 10, 30, 40], [5, 5, 9, 9], [0, 50, 80, 60]], np.float32)
    found = Detections(boxes, np.float32([0.9, 0.5, 0.25]), np.array([1, 0, 1]), masks)
    return present(found, Origin(name, source, NAMES))


def classification(source=IMAGE):
    return present(ClassScores(np.float32([0.25, 0.625, 0.125])), Origin('a.jpg', source, NAMES))


def segmentation(source=IMAGE):
    labels = np.zeros((60, 80), np.uint8)
    labels[:15] = 2
    colours = ((9, 9, 9), (1, 2, 3), (200, 0, 0))
    return present(LabelMap(labels, None, NAMES, colours), Origin('a.jpg', source, NAMES, colours))


ALL = pytest.mark.parametrize('make', [detections, classification, segmentation])


class TestDetections:
    def test_indices(self):
        result = detections()
        assert len(result) == 3
        one = result[0]
        assert (one.name, one.label, one.box.tolist()) == ('bee', 1, [10, 10, 30, 40])
        assert one.score == pytest.approx(0.9)
        assert one.mask == RLES[0]
        assert result[-1].name == 'bee'
        assert [found.name for found in result] == ['bee', 'ant', 'bee']
        with pytest.raises(IndexError):
            result[3]
        for index in (slice(1, None), [1, 2], result.scores < 0.9):
            part = result[index]
            assert type(part) is type(result)
            assert part.labels.tolist() == [0, 1]
            assert part.masks == RLES[1:]
            assert part.path == 'street.jpg'
        assert len(result[[]]) == 0
        assert len(detections(masks=None)[:1]) == 1

    def test_summary(self):
        assert repr(detections()) == '<DetectionResult street.jpg: 2 bee, 1 ant>'
        assert repr(detections()[:0]) == '<DetectionResult street.jpg: no objects>'

    def test_files(self, tmp_path):
        result = detections()
        result.save(tmp_path / 'a.json', 7, (3, 4, 5))
        assert json.loads((tmp_path / 'a.json').read_text()) == result.to_coco(7, (3, 4, 5))
        result.save(tmp_path / 'new/a.png', score_thr=0)
        picture = cv2.imread(str(tmp_path / 'new/a.png'))
        np.testing.assert_array_equal(picture, result.plot(score_thr=0))
        assert (picture != result.plot(score_thr=1)).any()
        thick = result.plot(score_thr=0, line_width=9, names=False)
        assert (thick != picture).any()
        np.testing.assert_array_equal(
            thick, result.plot(score_thr=0, style=Style(line_width=9, names=False))
        )

    def test_table(self):
        pandas = pytest.importorskip('pandas')
        table = detections().to_dataframe()
        assert isinstance(table, pandas.DataFrame)
        assert table['name'].tolist() == ['bee', 'ant', 'bee']
        assert table[['x1', 'y1', 'x2', 'y2']].values[2].tolist() == [0, 50, 80, 60]

    def test_rows(self):
        result = detections()
        rows = [dict(zip(result.columns(), row)) for row in result.rows()]
        assert rows[1] == dict(label=0, name='ant', score=0.5, x1=5, y1=5, x2=9, y2=9)


class TestClassification:
    def test_is_the_dict_that_users_know(self):
        result = classification()
        assert isinstance(result, dict)
        assert set(result) == {'pred_class', 'pred_label', 'pred_score', 'pred_scores'}
        assert (result['pred_class'], result['pred_label'], len(result)) == ('bee', 1, 4)
        assert "'pred_class': 'bee'" in repr(result)
        assert result.top(2) == [('bee', 0.625), ('ant', 0.25)]

    def test_other_forms(self, tmp_path):
        result = classification()
        assert result.to_coco(4) == [{'image_id': 4, 'category_id': 2, 'score': 0.625}]
        assert list(result.rows()) == [(1, 'bee', 0.625), (0, 'ant', 0.25), (2, 'cat', 0.125)]
        result.save(tmp_path / 'a.json')
        content = json.loads((tmp_path / 'a.json').read_text())
        assert content['pred_class'] == 'bee'
        assert len(content['top5']) == 3


class TestSegmentation:
    def test_is_an_array(self):
        result = segmentation()
        labels = np.asarray(result)
        assert labels.shape == result.shape == (60, 80)
        assert len(result) == 60
        assert result[3, 4] == 2
        np.testing.assert_array_equal(result[10:20], labels[10:20])
        np.testing.assert_array_equal(result.mask('cat'), labels == 2)
        np.testing.assert_array_equal(result.mask(0), labels == 0)
        with pytest.raises(ValueError, match="no class 'cta'; did you mean 'cat'"):
            result.mask('cta')
        assert result.classes == result.names == NAMES

    def test_other_forms(self, tmp_path):
        result = segmentation()
        ant, cat = result.to_coco(4)
        assert (ant['image_id'], ant['category_id'], cat['category_id']) == (4, 1, 3)
        np.testing.assert_array_equal(
            coco_mask.decode(cat['segmentation']).astype(bool), result.mask('cat')
        )
        assert list(result.rows()) == [(0, 'ant', 3600, 0.75), (2, 'cat', 1200, 0.25)]
        assert repr(result) == '<SegmentationResult a.jpg: ant 75%, cat 25%>'
        result.save_labels(tmp_path / 'labels.png')
        stored = cv2.imread(str(tmp_path / 'labels.png'), cv2.IMREAD_UNCHANGED)
        assert stored.shape[:2] == (60, 80)


class TestEveryTask:
    @ALL
    def test_pictures(self, make, tmp_path):
        result = make()
        picture = result.plot()
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        png = cv2.imdecode(np.frombuffer(result._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(png, picture)
        cv2.imwrite(str(tmp_path / 'image.png'), IMAGE)
        np.testing.assert_array_equal(make(tmp_path / 'image.png').plot(), picture)

    @ALL
    def test_without_its_image(self, make):
        """Those of a generator's images."""
        result = make(None)
        assert result._repr_png_() is None
        with pytest.raises(ValueError, match='images of a generator are not kept'):
            result.plot()
        np.testing.assert_array_equal(result.plot(IMAGE), make().plot())

    @ALL
    def test_pickles(self, make):
        copy = pickle.loads(pickle.dumps(make()))
        assert type(copy) is type(make())
        assert copy.to_coco() == make().to_coco()
        np.testing.assert_array_equal(copy.plot(), make().plot())

    def test_large_pictures_are_shown_smaller(self):
        large = detections(np.zeros((1500, 2000, 3), np.uint8), masks=None)
        png = cv2.imdecode(np.frombuffer(large._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
        assert png.shape == (768, 1024, 3)
        assert large.plot().shape == (1500, 2000, 3)

    @ALL
    def test_show_in_a_notebook(self, make, monkeypatch):
        shown = []
        shell = SimpleNamespace(kernel=1)
        display = SimpleNamespace(Image=lambda png: png, display=shown.append)
        module = SimpleNamespace(get_ipython=lambda: shell, display=display)
        monkeypatch.setitem(sys.modules, 'IPython', module)
        monkeypatch.setitem(sys.modules, 'IPython.display', display)
        make().show()
        assert shown[0].startswith(b'\x89PNG')

    @pytest.mark.parametrize('method', ['to_dataframe', 'to_supervision'])
    @ALL
    def test_what_is_not_installed(self, make, method, monkeypatch):
        module = {'to_dataframe': 'pandas', 'to_supervision': 'supervision'}[method]
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=f'pip install {module}'):
            getattr(make(), method)()

    def test_supervision(self):
        library = pytest.importorskip('supervision')
        found = detections().to_supervision()
        assert isinstance(found, library.Detections)
        np.testing.assert_array_equal(found.mask, MASKS)
        assert found.data['class_name'].tolist() == ['bee', 'ant', 'bee']
        assert classification().to_supervision().get_top_k(1)[0].tolist() == [1]
        assert segmentation().to_supervision().xyxy[1].tolist() == [0, 0, 79, 14]


class TestSeveral:
    def test_a_list(self):
        results = Results([detections(), detections(name='b.jpg')])
        assert results == [results[0], results[1]]
        assert type(results[:1]) is Results
        assert results.names == NAMES
        assert [r.path for r in results] == ['street.jpg', 'b.jpg']
        assert Results() == []
        assert Results().names == ()

    @ALL
    def test_pictures_and_files(self, make, tmp_path):
        results = Results([make(), make()])
        sheet = results.plot()
        assert results.plot(names=False).ndim == 3
        assert sheet.ndim == 3
        assert results._repr_png_().startswith(b'\x89PNG')
        assert Results()._repr_png_() is Results([make(None)])._repr_png_() is None
        results.save(tmp_path)
        stem = results[0].path.removesuffix('.jpg')
        assert {path.name for path in tmp_path.iterdir()} == {
            f'{stem}.jpg', f'{stem}_1.jpg', 'results.json'
        }  # fmt: skip
        content = json.loads((tmp_path / 'results.json').read_text())
        assert content == results.to_coco()
        assert {entry['image_id'] for entry in content} == {0, 1}
