"""COCO's average precision of boxes and of masks, from results to numbers: pycocotools'."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import same_arrays
from benchmarks.harness import Arrays, Case, Options, Side

_OTHER = {'bbox': 'segmentation', 'segm': 'bbox'}


def cases(options: Options) -> list[Case]:
    """5,000 images of 80 classes, as COCO's val2017 has, with 28 detections each."""
    images = 10 if options.tiny else 5000
    return [_case(options, kind, images) for kind in ('bbox', 'segm')]


def _case(options: Options, kind: str, images: int) -> Case:
    def files() -> tuple[dict, dict]:
        folder = options.folder / f'coco_{kind}'
        folder.mkdir(exist_ok=True)
        truth, results = _coco(images)
        # pycocotools takes a mask's size from the box beside it, so mmdetection leaves that out.
        results = [{k: v for k, v in r.items() if k != _OTHER[kind]} for r in results]
        paths = {'annotations': str(folder / 'truth.json'), 'results': str(folder / 'results.json')}
        Path(paths['annotations']).write_text(json.dumps(truth))
        Path(paths['results']).write_text(json.dumps(results))
        return (paths, paths)

    values = dict(kind=kind)
    sides = [
        Side('hrdet', f'{__name__}:hrdet_evaluate', values, peer=False),
        Side('pycocotools', f'{__name__}:coco_evaluate', values, same_arrays(0, 0)),
    ]
    return Case(f'COCO evaluation from files, {kind}, {images:,} images', sides, files=files)


def _coco(images: int) -> tuple[dict, list]:
    """Annotations with polygons, and results that find most of them, as JSON."""
    rng = np.random.default_rng(0)
    truth: dict[str, list] = {'images': [], 'annotations': [], 'categories': []}
    truth['categories'] = [{'id': i + 1, 'name': f'class {i}'} for i in range(80)]
    results = []
    for image in range(1, images + 1):
        truth['images'].append(
            {'id': image, 'file_name': f'{image}.jpg', 'height': 480, 'width': 640}
        )
        for _ in range(rng.integers(1, 14)):
            edges = np.exp(rng.uniform(np.log(10), np.log(300), 2))
            corner = rng.uniform(0, 1, 2) * ((640, 480) - edges)
            category = int(rng.integers(1, 81))
            truth['annotations'].append(
                {
                    'id': len(truth['annotations']) + 1,
                    'image_id': image,
                    'category_id': category,
                    'bbox': [*corner.tolist(), *edges.tolist()],
                    'area': float(edges.prod() * 0.7),
                    'iscrowd': 0,
                    'segmentation': [_octagon(corner, edges)],
                }
            )
            for _ in range(rng.integers(1, 8)):
                off = rng.normal(0, 0.1, 2) * edges
                size = edges * np.exp(rng.normal(0, 0.1, 2))
                right = rng.random() < 0.8
                results.append(
                    {
                        'image_id': image,
                        'category_id': category if right else int(rng.integers(1, 81)),
                        'bbox': [*(corner + off).tolist(), *size.tolist()],
                        'score': float(rng.random()),
                        'segmentation': _octagon(corner + off, size),
                    }
                )
    from pycocotools.mask import frPyObjects

    for result in results:
        rle = frPyObjects([result['segmentation']], 480, 640)[0]
        result['segmentation'] = {'size': rle['size'], 'counts': rle['counts'].decode()}
    return truth, results


def _octagon(corner: np.ndarray, edges: np.ndarray) -> list[float]:
    angles = np.pi / 4 * np.arange(8)
    points = corner + edges * (0.5 + 0.5 * np.stack([np.cos(angles), np.sin(angles)], 1))
    return points.clip(0, (640, 480)).round(2).ravel().tolist()


def hrdet_evaluate(annotations: str, results: str, kind: str) -> tuple:
    from hrdet.evaluation.coco import evaluate_coco

    def arrays(numbers: dict[str, float]) -> Arrays:
        return {'numbers': np.array(list(numbers.values()))}

    return lambda: evaluate_coco(annotations, results, kind), arrays


def coco_evaluate(annotations: str, results: str, kind: str) -> tuple:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def run() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(annotations)
            evaluation = COCOeval(truth, truth.loadRes(results), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation.stats

    return run, lambda stats: {'numbers': np.asarray(stats)}
