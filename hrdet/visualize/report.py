"""The report of a test: ``report.html`` with its tables, plots and pictures beside it."""

import heapq
import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch.utils.data import DataLoader

from hrdet.distributed import gather_objects
from hrdet.evaluation import Evaluator
from hrdet.evaluation.details import Details
from hrdet.evaluation.outcomes import ERRORS
from hrdet.structures import ImageMeta
from hrdet.visualize.confusion import MAX_CLASSES, plot_confusion
from hrdet.visualize.detection_curves import plot_detection_curves
from hrdet.visualize.draw import (
    DEFAULT_STYLE,
    Comparison,
    Outcome,
    Style,
    compare,
    describe,
    draw,
    write_image,
)
from hrdet.visualize.report_page import PAGE
from hrdet.visualize.sheet import captioned_sheet

_logger = logging.getLogger('hrdet')
_TILE = 400  # pixels of an image's long side on the page
_ON_SHEET = 12  # images of the contact sheet: half the worst, half spread over all
_CONFUSIONS = 30  # in the table


class Entry(NamedTuple):
    """An image of the report; ``tile`` is its picture as JPEG."""

    score: float  # of its result against the truth; 1 where there is none
    index: int
    path: str
    text: str
    outcomes: list[Outcome]
    tile: bytes


class Report:
    """A consumer of predictions that draws the worst of them, and some from all over the data set.

    Pictures are kept, not results, so that memory does not grow with the size of images.  What
    cannot be drawn is a warning.

    Args:
        loader: of this process's share of the data set.
        folder: where the report goes.
        score_thr: detections below it are left out.
        style: how results are drawn.
        every: write a picture of every image in its own size, too.
        limit: images on the page.
    """

    def __init__(
        self,
        loader: DataLoader,
        folder: Path,
        score_thr: float = 0.3,
        style: Style = DEFAULT_STYLE,
        every: bool = False,
        limit: int = 100,
    ) -> None:
        self.dataset, self.folder, self.score_thr = loader.dataset, folder, score_thr
        self.indices, self.limit, self.every = iter(loader.batch_sampler.indices), limit, every
        self.options = dict(
            classes=self.dataset.classes,
            score_thr=score_thr,
            palette=self.dataset.palette,
            style=style,
        )
        half = _ON_SHEET // 2
        self._spread_at = set(np.linspace(0, len(self.dataset) - 1, half).round().astype(int))
        self._worst: list[tuple[float, int, Entry]] = []  # a heap, the best of them first
        self._spread: list[Entry] = []
        self.details: Mapping[str, Details] = {}  # of the evaluation, when it is written
        self._warned = False

    def update(self, meta: ImageMeta, result: Any) -> None:
        """Compare the result of an image with its truth, and draw it if it is among the worst."""
        index = next(self.indices)
        try:
            self._take(index, meta, result.numpy())
        except Exception as error:
            if not self._warned:
                _logger.warning(f'{meta.path}: not in the report ({type(error).__name__}: {error})')
            self._warned = True

    def write(
        self, evaluator: Evaluator | None, metrics: Mapping[str, float], about: str = ''
    ) -> list[Path]:
        """Write everything on rank 0, called on every process; the files to look at."""
        shares = gather_objects(([entry for *_, entry in self._worst], self._spread))
        if shares is None:
            return []
        entries = {entry.index: entry for share in shares for part in share for entry in part}
        worst = sorted(entries.values())[: self.limit]
        spread = sorted(entry for share in shares for entry in share[1])
        try:
            return self._write(evaluator, metrics, about, worst, spread)
        except Exception as error:
            _logger.warning(f'{self.folder}: no report ({type(error).__name__}: {error})')
            return []

    def _take(self, index: int, meta: ImageMeta, result: Any) -> None:
        # 1. The score, which decides whether a picture is needed.
        truth = self.dataset.truth(index)
        verdict = compare(result, truth, self.score_thr)
        verdict = verdict or Comparison(1.0, describe(result, self.score_thr))
        full = len(self._worst) == self.limit
        among_worst = not full or (-verdict.score, -index) > self._worst[0][:2]
        spread = index in self._spread_at
        if not (among_worst or spread or self.every):
            return
        # 2. The pictures.
        image = self.dataset.image(index)
        if self.every:
            picture = draw(image, result, truth=truth, **self.options)
            write_image(self.folder / _file_name(index, meta.path), picture)
        if not (among_worst or spread):
            return
        picture = draw(image, result, truth=truth, long_side=_TILE, **self.options)
        tile = cv2.imencode('.jpg', picture)[1].tobytes()
        entry = Entry(verdict.score, index, meta.path, verdict.text, list(verdict.outcomes), tile)
        if among_worst:
            push: Callable = heapq.heappushpop if full else heapq.heappush
            push(self._worst, (-verdict.score, -index, entry))
        if spread:
            self._spread.append(entry)

    def _write(
        self,
        evaluator: Evaluator | None,
        metrics: Mapping[str, float],
        about: str,
        worst: list[Entry],
        spread: list[Entry],
    ) -> list[Path]:
        # 1. The contact sheet.
        self.folder.mkdir(parents=True, exist_ok=True)
        first = worst[: _ON_SHEET // 2]
        shown = {entry.index for entry in first}
        on_sheet = [*first, *(entry for entry in spread if entry.index not in shown)]
        sheet = self.folder / 'contact_sheet.png'
        write_image(sheet, captioned_sheet([_caption(entry) for entry in on_sheet]))
        if evaluator is None:
            return [sheet]
        # 2. Plots, the pictures of the images, and the page that shows them.
        self.details = evaluator.details(self.score_thr)
        sections = [self._section(kind, one) for kind, one in self.details.items()]
        kinds = {outcome.kind for entry in worst for outcome in entry.outcomes}
        has_boxes = not self.details.keys().isdisjoint(('bbox', 'segm'))
        drawn = f'. Drawn: scores from {self.score_thr:g}' if has_boxes else ''
        content = dict(
            title=f'{len(self.dataset):,} images of {Path(self.dataset.source).name}',
            about=f'{about} {datetime.now():%Y-%m-%d %H:%M}{drawn}',
            heading='Images, the worst first',
            kind='outcome',
            metrics=[[k, _per_cent(v)] for k, v in metrics.items() if '.' not in k],
            sections=sections,
            classes=list(self.dataset.classes),
            outcomes=sorted(kinds),
            images=[self._image(entry) for entry in worst],
        )
        page = self.folder / 'report.html'
        text = json.dumps(content, allow_nan=False).replace('</', '<\\/')
        page.write_text(PAGE.replace('{{data}}', text), 'utf-8')
        return [page, sheet]

    def _section(self, kind: str, details: Details) -> dict[str, Any]:
        """The plots and tables of one kind of result."""
        suffix = f'_{kind}' if kind else ''
        pictures, tables = [], [_class_table(details)]
        # Plots are files beside the page.  A confusion matrix of many classes would be illegible:
        # then there is only the table of its largest entries.
        if details.curves is not None:
            pictures.append(f'pr_f1{suffix}.png')
            plot_detection_curves(details.curves, self.folder / pictures[-1])
        if details.confusion is not None and len(details.classes) <= MAX_CLASSES:
            pictures.append(f'confusion_matrix{suffix}.png')
            plot_confusion(details.confusion, details.classes, self.folder / pictures[-1])
        if details.confusion is not None:
            tables.append(_confusions(details))
        if details.errors:
            rows = [
                [name, ERRORS[name], count, _per_cent(gain)]
                for name, (count, gain) in details.errors.items()
            ]
            columns = ['error', 'the detection hits', 'count', 'AP50 it costs, %']
            tables.append(dict(columns=columns, rows=rows))
        return dict(title=kind or 'classes', pictures=pictures, tables=tables)

    def _image(self, entry: Entry) -> dict[str, Any]:
        name = _file_name(entry.index, entry.path)
        file = self.folder / 'images' / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(entry.tile)
        height, width = cv2.imdecode(np.frombuffer(entry.tile, np.uint8), 1).shape[:2]
        return dict(
            file=f'images/{name}',
            full=name if self.every else None,
            title=Path(entry.path).name,
            text=entry.text,
            score=entry.score,
            outcomes=entry.outcomes,
            width=width,
            height=height,
        )


def _class_table(details: Details) -> dict[str, Any]:
    columns = list(next(iter(details.per_class.values()), {}))
    rows = [
        [name, *(v if isinstance(v, int) else _per_cent(v) for v in row.values())]
        for name, row in details.per_class.items()
    ]
    return dict(columns=['class, in %', *columns], rows=rows)


def _confusions(details: Details) -> dict[str, Any]:
    """The most frequent pairs of different classes."""
    wrong = details.confusion.astype(np.int64)
    np.fill_diagonal(wrong, 0)
    most = np.argsort(-wrong, axis=None, kind='stable')[:_CONFUSIONS]
    pairs = [divmod(int(place), len(wrong)) for place in most]
    names = details.classes
    rows = [[names[t], names[p], int(wrong[t, p])] for t, p in pairs if wrong[t, p]]
    return dict(columns=['truth', 'taken for', 'count'], rows=rows)


def _per_cent(value: float) -> float | None:
    """None for what does not exist: negative or not finite."""
    return round(100 * value, 2) if np.isfinite(value) and value >= 0 else None


def _caption(entry: Entry) -> tuple[str, np.ndarray]:
    picture = cv2.imdecode(np.frombuffer(entry.tile, np.uint8), cv2.IMREAD_COLOR)
    return f'{Path(entry.path).name}: {entry.text}', picture


def _file_name(index: int, path: str) -> str:
    return f'{index:06d}_{Path(path).stem}.jpg'
