"""What inputs of tools/infer.py name."""

import cv2
import numpy as np
import pytest

from hrdet.data import DataError
from hrdet.inference.sources import ImageFile, Video, find_sources


@pytest.fixture
def photos(tmp_path):
    for name in ('a.jpg', 'a.png', 'deep/er/a.JPG', 'deep/b.bmp', 'other/a.png'):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode('.png', np.zeros((60, 80, 3), np.uint8))[1].tobytes())
    (tmp_path / 'photos' / 'notes.txt').write_text('no picture')
    return tmp_path / 'photos'


def test_files_folders_and_patterns(photos):
    def names(*inputs):
        found = find_sources([str(photos / i) for i in inputs], 'found')
        return {source.title: source.name.removeprefix(f'{photos}/') for source in found}

    assert names('a.png') == {'a': 'a.png'}
    assert names('deep') == {'b': 'deep/b.bmp', 'er/a': 'deep/er/a.JPG'}
    assert set(names('').values()) == {
        'a.jpg', 'a.png', 'deep/er/a.JPG', 'deep/b.bmp', 'other/a.png'
    }  # fmt: skip
    assert names('*/a.png', '**/b.*') == {'a': 'other/a.png', 'b': 'deep/b.bmp'}
    assert names('a.png', 'a.png', 'a.jpg') == {'a': 'a.png', 'a_2': 'a.jpg'}
    (photos / 'empty').mkdir()
    (photos / 'page.jpg').write_text('<html>')
    for nothing, reason in (
        ('gone.jpg', 'no such file'),
        ('*.gif', 'no such file'),
        ('empty', r'there are no images in it \(\.bmp, \.jpeg, '),
        ('notes.txt', 'none of these files is an image'),
        ('page.jpg', 'none of these files is an image'),
    ):
        with pytest.raises(FileNotFoundError, match=f'photos/.*: {reason}'):
            names(nothing)


def test_earlier_results_are_no_input(photos):
    found = find_sources([str(photos)], str(photos / 'deep'))
    assert not any('deep' in source.name for source in found)
    with pytest.raises(FileNotFoundError, match='only earlier results'):
        find_sources([str(photos / 'deep')], str(photos))


def test_videos_cameras_and_addresses(photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / 'v.MP4').write_bytes(b'')
    (photos / '7').write_bytes((photos / 'a.png').read_bytes())
    inputs = ['v.MP4', '0', '7', 'rtsp://host/live', 'http://h/a.jpg?x=1.mp4', 'https://h/v.m3u8']
    assert find_sources(inputs, 'out') == [
        Video('v', 'v.MP4'),
        Video('camera_0', '0'),
        ImageFile('7', '7'),
        Video('live', 'rtsp://host/live'),
        ImageFile('a', 'http://h/a.jpg?x=1.mp4'),
        Video('v_2', 'https://h/v.m3u8'),
    ]


def test_a_video_that_ends_early(tmp_path, monkeypatch):
    class Capture:
        """Of a file that states ten frames, and has three."""

        left = 3

        def __init__(self, name):
            pass

        def isOpened(self):
            return True

        def get(self, key):
            return {cv2.CAP_PROP_FRAME_COUNT: 10, cv2.CAP_PROP_FPS: 0}[key]

        def read(self):
            self.left -= 1
            return self.left >= 0, np.zeros((4, 4, 3), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr(cv2, 'VideoCapture', Capture)
    frames = Video('v', 'v.mp4').frames()
    found = [next(frames) for _ in range(3)]
    assert [frame.name for frame in found] == ['v.mp4#0', 'v.mp4#1', 'v.mp4#2']
    assert [frame.title for frame in found] == ['v_000000', 'v_000001', 'v_000002']
    assert found[0].clip == ('v', 25)
    with pytest.raises(DataError, match=r'v\.mp4: the video ends after 3 of 10 frames'):
        next(frames)
