"""Proposals computed beforehand, read from a JSON or npz file."""

from zipfile import BadZipFile

import numpy as np

from hrdet.data.errors import DataError, missing
from hrdet.json_files import open_file, read_json


def read_proposals(path: str, limit: int | None = None) -> dict:
    """Proposals by image id: (P, 5) float32, boxes (x1, y1, x2, y2) and score, best first.

    Two forms, both in pixels of the original image.  JSON: a list in COCO's result format,
    ``{'image_id', 'bbox': [x, y, width, height], 'score'}``.  npz: arrays ``image_ids`` (P,),
    ``boxes`` (P, 4) as continuous corners and ``scores`` (P,).  Pickles, which the 2019 releases
    used, are refused: reading one can run code.

    Args:
        path: a file that ends in .json or .npz.
        limit: the number kept for each image; None keeps all.
    """
    try:
        if path.endswith('.json'):
            ids, boxes, scores = _from_json(path)
        elif path.endswith('.npz'):
            with open_file(path) as file, np.load(file, allow_pickle=False) as arrays:
                ids, boxes, scores = (arrays[key] for key in ('image_ids', 'boxes', 'scores'))
        else:
            raise DataError(
                f'proposal_file {path}: must be .json (COCO results) or .npz (image_ids, boxes, '
                f'scores); convert a .pkl yourself, if you trust it'
            )
        boxes = np.asarray(boxes, np.float32).reshape(len(ids), 4)
        scores = np.asarray(scores, np.float32).reshape(len(ids), 1)
    except FileNotFoundError:
        raise missing('proposal_file', path, 'file') from None
    except OSError as error:
        raise DataError(f'proposal_file {path}: {error.strerror or error}') from error
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f'proposal_file {path}: {type(error).__name__}: {error}') from error
    rows = np.concatenate([boxes, scores], axis=1)
    if not np.isfinite(rows).all():
        raise DataError(f'proposal_file {path}: entry {_first_bad(rows)} is not finite')

    # Rows of each image by falling score.
    by_image: dict = {}
    for position in np.argsort(-rows[:, 4], kind='stable').tolist():
        by_image.setdefault(_plain(ids[position]), []).append(position)
    return {image_id: rows[positions[:limit]] for image_id, positions in by_image.items()}


def _from_json(path: str) -> tuple[list, np.ndarray, list]:
    entries = read_json(path)
    boxes = np.array([entry['bbox'] for entry in entries], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    ids = [entry['image_id'] for entry in entries]
    strange = [image_id for image_id in ids if type(image_id) not in (int, str)]
    if strange:
        raise ValueError(f"an 'image_id' is a whole number or a text, not {strange[0]!r}")
    return ids, boxes, [entry['score'] for entry in entries]


def _first_bad(rows: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])


def _plain(image_id):
    return image_id.item() if isinstance(image_id, np.generic) else image_id
