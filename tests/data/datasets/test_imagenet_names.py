import json

from hrdet.data.datasets.imagenet_names import imagenet_classes


def test_names_of_all_labels(reference_dir):
    manifest = json.loads((reference_dir / 'manifests/tasks/imagenet_classes.json').read_text())
    assert list(imagenet_classes()) == manifest['classes']
    assert len(imagenet_classes()) == 1000
