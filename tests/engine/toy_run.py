"""A detector of a few parameters, trained on noise, with the interfaces of the real ones."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from hrdet import distributed
from hrdet.config import Training
from hrdet.engine.evaluate import Validation
from hrdet.engine.resume import resume
from hrdet.engine.trainer import Trainer
from hrdet.engine.work_dir import WorkDir
from hrdet.structures import Batch, Detections, GroundTruth, ImageMeta

LENGTH, SIZE = 10, 8


class Noise:
    """Images of noise; the labels follow from their mean."""

    classes = ('dark', 'light')

    def __init__(self, length: int = LENGTH, seed: int = 0, broken: int | None = None) -> None:
        self.image_ids = [100 + i for i in range(length)]
        self.seed = seed
        self.broken = broken

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, key) -> tuple[torch.Tensor, ImageMeta, int]:
        index, epoch = key if isinstance(key, tuple) else (key, 0)
        rng = np.random.default_rng((self.seed, epoch, index))
        image = torch.from_numpy(rng.integers(0, 255, (3, SIZE, SIZE), dtype=np.uint8))
        size = (SIZE, SIZE)
        path = 'broken.jpg' if index == self.broken else f'image_{index}.jpg'
        return image, ImageMeta(path, self.image_ids[index], size, size, size), index % 2


def collate(samples) -> Batch:
    images, metas, labels = zip(*samples)
    n = len(samples)
    sizes = torch.full((n, 2), float(SIZE))
    boxes = torch.tensor([[0.0, 0.0, SIZE, SIZE]]).repeat(n, 1, 1)
    truth = GroundTruth(boxes, torch.tensor(labels)[:, None], torch.zeros(n, 0, 4))
    return Batch(torch.stack(images), list(metas), sizes, sizes, truth)


class Shuffled:
    """Batches of (index, epoch), in an order that depends on seed and epoch only."""

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed
        self.epoch = self.skipped = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def skip(self, n: int) -> None:
        self.skipped = n

    def __len__(self) -> int:
        return self.length // self.batch_size // distributed.world_size()

    def __iter__(self):
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        order = order[distributed.rank() :: distributed.world_size()]
        for i in range(self.skipped, len(self)):
            part = order[i * self.batch_size : (i + 1) * self.batch_size]
            yield [(int(index), self.epoch) for index in part]


class Tiny(nn.Module):
    """Convolution, batch norm, dropout and noise in the loss: everything resuming must restore."""

    box_convention = 'continuous'

    def __init__(self, normalise: type[nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = normalise(4)
        self.fc = nn.Linear(4, 2)
        self.poisoned = False

    def forward(self, batch: Batch, mode: str = 'loss'):
        x = self.norm(self.conv(batch.images.float() / 255)).relu().mean((2, 3))
        scores = self.fc(F.dropout(x, 0.5, self.training))
        if mode == 'predict':
            boxes = torch.zeros(1, 4)
            return [Detections(boxes, s.max()[None].cpu(), s.argmax()[None].cpu()) for s in scores]
        bad = any(meta.path == 'broken.jpg' for meta in batch.metas)
        noise = float(np.random.rand()) * 0.1  # noqa: NPY002
        loss = F.cross_entropy(scores, batch.truth.labels[:, 0]) * (1 + noise)
        return {'loss_cls': loss * (float('nan') if bad else 1.0), 'loss_reg': x.square().mean()}


class Accuracy:
    """The evaluator: share of right labels over all processes."""

    def __init__(self) -> None:
        self.right: list[bool] = []

    def update(self, meta: ImageMeta, result: Detections) -> None:
        self.right.append(int(result.labels[0]) == meta.image_id % 2)

    def compute(self) -> dict[str, float]:
        shares = distributed.gather_objects(self.right)
        self.right = []
        right = None if shares is None else [one for share in shares for one in share]
        return distributed.broadcast_object(right and {'bbox_AP': float(np.mean(right))})


class Scores(Accuracy):
    """An evaluator with a script."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = list(scores)

    def compute(self) -> dict[str, float]:
        return {'bbox_AP': self.scores.pop(0)}


def settings(**changes) -> Training:
    """How the toy is trained."""
    values = dict(
        optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4),
        grad_clip=dict(max_norm=35, norm_type=2),
        max_epochs=2,
        schedule=[
            dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=4),
            dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=0.1),
        ],
        log_interval=2,
    )
    return Training(**(values | changes))


def trainer(
    work_dir,
    training=None,
    *,
    seed=7,
    length=LENGTH,
    broken=None,
    model=None,
    evaluator=None,
    device='cpu',
    resume_from=None,
    meta=None,
    **options,
):
    """A trainer of the toy model."""
    torch.manual_seed(0)
    data = Noise(length, seed, broken)
    train = DataLoader(data, batch_sampler=Shuffled(length, 2, seed), collate_fn=collate)
    held = Noise(5, seed + 1)
    rank, world = distributed.rank(), distributed.world_size()
    mine = range(len(held) * rank // world, len(held) * (rank + 1) // world)
    val = DataLoader(held, sampler=mine, batch_size=2, collate_fn=collate)
    made = Trainer(
        model or Tiny(),
        train,
        training or settings(),
        device=torch.device(device),
        work_dir=WorkDir(work_dir, 'INFO'),
        seed=seed,
        validation=Validation(val, evaluator or Accuracy()),
        meta=dict(classes=list(data.classes), box_convention='continuous') | (meta or {}),
        **options,
    )
    if resume_from:
        resume(made, resume_from)
    return made
