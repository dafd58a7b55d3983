"""Pictures are looked at by people; here: the right marks in the right colours and places."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle

from hrdet.command_line import Parser, add_drawing_options
from hrdet.registry import ConfigError
from hrdet.structures import Detections, GroundTruth
from hrdet.visualize import Style, boxes, colour_of, compare, describe, draw, paint, save_picture


def detections(*rows, masks=None):
    """Rows of x1, y1, x2, y2, score, label."""
    rows = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(rows[:, :4], rows[:, 4], rows[:, 5].astype(int), masks)


def near(picture, colour, tolerance=40):
    return np.abs(picture.astype(int) - colour).max(-1) <= tolerance


def test_neighbouring_classes_look_different():
    colours = np.array([colour_of(i) for i in range(80)], float)
    for i in range(80):
        others = [j for j in range(max(0, i - 4), i + 5) if j != i and j < 80]
        assert min(np.abs(colours[i] - colours[j]).sum() for j in others) > 60
    assert len({tuple(c) for c in colours.tolist()}) == 80


def test_the_box_is_drawn_where_it_is():
    image = np.full((600, 800, 3), 90, np.uint8)
    before = image.copy()
    picture = draw(image, detections((200, 150, 500, 450, 0.9, 2)), ['a', 'b', 'c'])
    assert (image == before).all()
    assert picture.shape == image.shape
    marked = near(picture, colour_of(2))
    for x, y in ((200, 300), (500, 300), (350, 450)):
        assert marked[y - 2 : y + 3, x - 2 : x + 3].any()
    assert not marked[160:440, 210:490].any()
    assert not (picture[460:] != 90).any()


def test_low_scores_are_left_out():
    image = np.full((500, 500, 3), 90, np.uint8)
    found = detections((10, 10, 100, 100, 0.2, 0), (300, 300, 400, 400, 0.3, 1))
    picture = draw(image, found, score_thr=0.29)
    assert not near(picture, colour_of(0)).any()
    assert near(picture, colour_of(1)).any()
    assert (draw(image, found, score_thr=0.5) == image).all()


def test_small_images_are_enlarged_and_large_ones_keep_their_size():
    found = detections((10, 10, 50, 40, 0.9, 0))
    assert draw(np.zeros((60, 80, 3), np.uint8), found).shape == (360, 480, 3)
    assert draw(np.zeros((1200, 1600, 3), np.uint8), found).shape == (1200, 1600, 3)
    picture = draw(np.zeros((1200, 1600, 3), np.uint8), found, long_side=400)
    assert picture.shape == (300, 400, 3)
    enlarged = draw(np.zeros((60, 80, 3), np.uint8), found)
    assert near(enlarged, colour_of(0))[100:200, 298:303].any()  # right edge: 50 x 6


def test_masks_are_blended():
    mask = np.zeros((480, 640), np.uint8)
    mask[200:300, 250:350] = 1
    encoded = rle.encode(np.asfortranarray(mask))
    image = np.zeros((480, 640, 3), np.uint8)
    found = detections((250, 200, 350, 300, 0.9, 3), masks=[encoded])
    for truth in (found, GroundTruth(found.boxes, found.labels, np.zeros((0, 4)), mask[None])):
        picture = draw(image, truth)
        # 0.45 of the colour over black, cut to whole levels
        inside = np.array(colour_of(3)) * 0.45
        assert np.abs(picture[260:290, 270:330] - inside).max() <= 1
        assert not picture[350:, 400:].any()


def test_truth_shows_ignored_regions_in_grey():
    truth = GroundTruth(np.zeros((0, 4)), np.zeros(0, int), np.array([[100, 100, 400, 400.0]]))
    picture = draw(np.zeros((500, 500, 3), np.uint8), truth)
    assert (picture[250, 98:103].max(-1) > 100).any()
    assert (np.ptp(picture.astype(int), axis=-1) == 0).all()


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    seed=st.integers(0, 1000),
    count=st.integers(0, 30),
)
def test_any_size_and_any_boxes(size, seed, count):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(-50, 350, (count, 4)).astype(np.float32)
    found = Detections(boxes, rng.random(count), rng.integers(0, 100, count))
    picture = draw(np.zeros((*size, 3), np.uint8), found)
    assert max(picture.shape) == 480
    assert picture.dtype == np.uint8


@pytest.mark.parametrize(('side', 'least'), [(400, 2), (1600, 4)])
def test_lines_are_two_pixels_or_more_and_grow_with_the_picture(side, least):
    image = np.zeros((side, side, 3), np.uint8)
    found = detections((0.3 * side, 0.3 * side, 0.7 * side, 0.7 * side, 0.9, 1))
    for style, width in ((Style(), least), (Style(line_width=9), 9)):
        picture = draw(image, found, long_side=side, style=style)
        line = near(picture, colour_of(1))[round(0.6 * side), : side // 2].sum()
        assert width <= line <= width + 2  # smooth edges


def test_style_hides_names_and_classes_and_colours_objects():
    image = np.full((500, 500, 3), 90, np.uint8)
    found = detections((10, 100, 100, 200, 0.9, 0), (300, 300, 400, 400, 0.8, 0))
    plain = draw(image, found, style=Style(names=False))
    assert near(plain, colour_of(0)).any()
    assert (plain[:90] == 90).all(), 'no text above the box'
    assert (draw(image, found, style=Style(shown=frozenset({1}))) == image).all()
    picture = draw(image, found, style=Style(color_by='instance'))
    assert near(picture[300:], colour_of(1)).any()
    assert not near(picture[300:], colour_of(0)).any()


def test_texts_do_not_cover_each_other(monkeypatch):
    plates = []
    tag = boxes._write_tag
    monkeypatch.setattr(boxes, '_write_tag', lambda *a: tag(*a) or plates.append(list(a[-1])))
    rows = [(200 + i, 200 + i, 330 + i, 260 + i, 0.9, i) for i in range(40)]
    draw(np.zeros((480, 640, 3), np.uint8), detections(*rows), [f'class {i}' for i in range(40)])
    last = plates[-1]
    assert len(last) > 4, 'some have room'
    for i, a in enumerate(last):
        for b in last[:i]:
            assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


def test_wrong_and_missed_objects_are_framed_beside_the_truth():
    image = np.full((400, 500, 3), 90, np.uint8)
    box, other, third = (50, 50, 150, 150), (300, 50, 400, 150), (50, 250, 150, 350)
    found = detections((*box, 0.9, 0), (*box, 0.8, 0), (*other, 0.7, 0))
    nothing = np.zeros((0, 4))
    truth = GroundTruth(np.array([box, third], np.float32), np.array([0, 0]), nothing)
    picture = draw(image, found, ['a'], truth=truth)
    red, orange, violet = (40, 40, 235), (0, 150, 255), (210, 50, 190)
    left, right = picture[:400, :500], picture[:400, 500:]
    assert near(left[:, 250:], red).any()
    assert not near(left[:, :200], red, 20).any()
    assert near(left[:, :200], orange, 20).any()
    assert near(right[200:], violet).any()
    assert not near(right[:200], violet).any()
    assert near(picture[400:], violet).any(), 'the legend'
    verdict = compare(found, truth)
    assert verdict.text == '1 of 2 found, 1 false, 1 double'
    assert verdict.score == pytest.approx(2 / 5)
    kinds = [(o.kind, o.score) for o in verdict.outcomes]
    expected = [('right', 0.9), ('double', 0.8), ('background', 0.7), ('missed', 0)]
    assert [k for k, _ in kinds] == [k for k, _ in expected]
    assert [s for _, s in kinds] == pytest.approx([s for _, s in expected])


def test_save_picture(tmp_path):
    cv2.imwrite(str(tmp_path / 'in.png'), np.full((480, 640, 3), 7, np.uint8))
    found = detections((10, 10, 300, 300, 0.9, 0))
    save_picture(tmp_path / 'in.png', found, tmp_path / 'new' / 'out.jpg', ['Größe'])
    assert cv2.imread(str(tmp_path / 'new' / 'out.jpg')).shape == (480, 640, 3)
    with pytest.raises(ValueError, match=r'gone.png: not an image'):
        save_picture(tmp_path / 'gone.png', found, tmp_path / 'out.jpg')
    for name in ('out', 'out.txt'):
        with pytest.raises(ValueError, match=r'name a picture'):
            save_picture(tmp_path / 'in.png', found, tmp_path / name)
    with pytest.raises(ValueError, match=r'uint8, not \(5, 5\)'):
        draw(np.zeros((5, 5), np.uint8), found)


def test_a_new_kind_of_result_registers_its_picture():
    class Verdict(str):
        """A result of a user's own task."""

    image = np.full((100, 500, 3), 90, np.uint8)
    with pytest.raises(TypeError, match='Verdict has no picture: register'):
        draw(image, Verdict('fine'))

    @paint.register
    def _(verdict: Verdict, canvas):
        cv2.putText(canvas.pixels, verdict, (5, 80), cv2.FONT_HERSHEY_PLAIN, 5, (255, 0, 0), 5)

    @describe.register
    def _(verdict: Verdict, score_thr):
        return f'it is {verdict}'

    picture = draw(image, Verdict('fine'))
    assert (picture[..., 0] > 200).any()
    assert (image == 90).all()
    assert describe(Verdict('fine'), 0.5) == 'it is fine'


def test_options_of_the_commands():
    parser = Parser('')
    add_drawing_options(parser)
    args = parser.parse_args(['--classes', 'b', '--line-width', '3', '--no-labels'])
    assert Style.of(args, ('a', 'b')) == Style(3, False, 'class', frozenset({1}))
    assert Style.of(parser.parse_args([]), ('a',)) == Style()
    assert parser.parse_args(['--show-score-thr', '0.5']).score_thr == 0.5
    for wrong in ('50', 'nan', 'high'):
        with pytest.raises(SystemExit):
            parser.parse_args(['--score-thr', wrong])
    with pytest.raises(ConfigError, match=r"no class 'b'; did you mean 'bb'"):
        Style.of(args, ('aa', 'bb'))
