"""A process from its start to the first detections: import, build, weights, one image."""

from benchmarks import inference, models
from benchmarks.compare import same_detections
from benchmarks.harness import Case, Options, Side


def cases(options: Options) -> list[Case]:
    """Faster R-CNN W18 on a small image, so that starting is what is measured."""
    size, scale = models.SMALL

    def files() -> tuple[dict, dict]:
        images = models.image_files(models.make_data(options, size), 1)
        return models.arguments(options, models.FASTER, scale=scale, images=images)

    sides = [
        Side('hrdet', f'{inference.__name__}:hrdet_predict', peer=False),
        Side('mmdetection', f'{inference.__name__}:mmdet_predict', same=same_detections),
    ]
    return [Case('import, build and first result', sides, ('start',), files)]
