"""Who sees which sample when."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet.data import AspectGroupBatchSampler, CocoDataset, SequentialShard


@given(
    groups=st.lists(st.integers(0, 1), min_size=1, max_size=70),
    batch_size=st.integers(1, 5),
    world_size=st.integers(1, 6),
    shuffle=st.booleans(),
)
def test_group_batches(groups, batch_size, world_size, shuffle):
    groups = np.array(groups)
    ranks = [
        AspectGroupBatchSampler(groups, batch_size, rank, world_size, seed=3, shuffle=shuffle)
        for rank in range(world_size)
    ]
    drawn = []
    for sampler in ranks:
        sampler.set_epoch(2)
        batches = list(sampler)
        assert len(batches) == len(sampler) == len(ranks[0])
        for batch in batches:
            assert len(batch) == batch_size
            assert len({groups[key.index] for key in batch}) == 1
            assert {(key.epoch, key.seed) for key in batch} == {(2, 3)}
            drawn += [key.index for key in batch]
    assert set(drawn) == set(range(len(groups)))
    # Surplus: one batch less a sample for each orientation, one round less a batch of processes.
    surplus = 2 * (batch_size - 1) + (world_size - 1) * batch_size
    assert len(drawn) - len(groups) <= surplus


def test_epochs_differ_and_repeat():
    groups = np.arange(40) % 2
    order = [None] * 3
    for turn, epoch in enumerate((0, 1, 0)):
        sampler = AspectGroupBatchSampler(groups, 2, seed=1)
        sampler.set_epoch(epoch)
        order[turn] = [[key.index for key in batch] for batch in sampler]
    assert order[0] == order[2] != order[1]
    other = AspectGroupBatchSampler(groups, 2, seed=2)
    assert [[key.index for key in batch] for batch in other] != order[0]


@pytest.mark.parametrize('skipped', [0, 3, 10])
def test_skip_continues_an_epoch_once(skipped):
    sampler = AspectGroupBatchSampler(np.zeros(20, int), 2)
    whole = list(sampler)
    sampler.skip(skipped)
    assert list(sampler) == whole[skipped:]
    assert len(sampler) == 10
    assert list(sampler) == whole


def test_without_shuffling_in_order():
    sampler = AspectGroupBatchSampler(np.array([0, 1, 0, 1, 1, 0]), 2, shuffle=False)
    assert [[key.index for key in batch] for batch in sampler] == [[0, 2], [1, 3], [4, 1], [5, 0]]


@pytest.mark.parametrize('name', ['train', 'val'])
def test_groups_and_length_of_the_release(golden, data_dir, name):
    root = data_dir / 'coco_tiny'
    dataset = CocoDataset(
        str(root / f'annotations/instances_{name}2017.json'), str(root / f'{name}2017')
    )
    assert len(dataset) == int(golden[f'{name}_num_after_filter'])
    np.testing.assert_array_equal(dataset.aspect_groups, golden[f'{name}_group_flag'])
    if name == 'train':
        sampler = AspectGroupBatchSampler(dataset.aspect_groups, 2, rank=1, world_size=4)
        # The release fills each orientation to a multiple of all processes: two samples more here.
        recorded = golden['dist_group_sampler_train_spg2_4reps_rank1_epoch3']
        assert 80 / 4 == len(sampler) * 2 == len(recorded) - 2


@given(length=st.integers(0, 50), batch_size=st.integers(1, 7), world_size=st.integers(1, 8))
def test_shards_in_order_without_duplicates(length, batch_size, world_size):
    shards = [SequentialShard(length, batch_size, rank, world_size) for rank in range(world_size)]
    drawn = [key.index for shard in shards for batch in shard for key in batch]
    assert drawn == list(range(length))
    assert all(len(list(shard)) == len(shard) for shard in shards)
    counts = [len(shard.indices) for shard in shards]
    assert max(counts) - min(counts) <= 1


def test_batch_size_zero():
    with pytest.raises(ValueError, match='batch_size'):
        AspectGroupBatchSampler(np.zeros(3), 0)
    with pytest.raises(ValueError, match='batch_size'):
        SequentialShard(3, 0)
