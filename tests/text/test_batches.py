import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_fairsisa.text._batches import Tokens, inference_batches, training_steps
from sklearn_fairsisa.text._tokens import HashingTokenizer, tokenize

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=200).map(np.array)


@given(LENGTHS, st.integers(1, 9), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_an_epoch_visits_every_row_once(lengths, batch_size, accumulation):
    steps = training_steps(lengths, batch_size, accumulation)
    rows = np.concatenate([batch for step in steps for batch in step])
    assert sorted(rows) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for step in steps for batch in step)
    assert all(len(step) <= accumulation for step in steps)


@given(LENGTHS, st.integers(1, 400))
@settings(max_examples=50, deadline=None)
def test_the_shape_of_a_texts_batch_follows_from_its_length(lengths, budget):
    shapes, seen = {}, []
    for rows, n_real, length in inference_batches(lengths, 60, budget):
        assert (lengths[rows] <= length).all()
        seen += list(rows[:n_real])
        for n in lengths[rows]:
            assert shapes.setdefault(n, (len(rows), length)) == (len(rows), length)
        # Either all rows have padding, or none has.
        assert len(set(lengths[rows] == length)) == 1
    assert sorted(seen) == list(range(len(lengths)))


def test_batches_of_similar_length_save_padding():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    lengths = rng.geometric(0.05, size=2000)
    padded = sum(
        len(batch) * lengths[batch].max()
        for step in training_steps(lengths, 32, 1)
        for batch in step
    )
    shuffled = rng.permutation(lengths)[:1984].reshape(62, 32)
    assert padded < 1.4 * lengths.sum()
    assert 32 * shuffled.max(axis=1).sum() > 3 * lengths.sum()


def test_padding_is_on_the_right():
    tokens = Tokens.from_lists([[5, 6, 7], [8], [9, 4]])
    batch = tokens.padded(np.array([2, 1]), pad_id=3)
    assert batch["input_ids"].tolist() == [[9, 4], [8, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert tokens.padded(np.array([1]), 3, 4)["input_ids"].tolist() == [[8, 3, 3, 3]]


@given(st.text(max_size=40), st.integers(8, 50), st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_hashed_ids_are_in_the_vocabulary_and_never_padding(text, size, pad):
    text = text.encode("utf-8", "ignore").decode()
    ids = HashingTokenizer(size, pad).encode(text)
    assert pad not in ids
    assert min(ids) >= 0
    assert max(ids) < size
    assert not {ids[0], ids[-1]} & set(ids[1:-1])


def test_hashed_words_spread_over_all_ids():
    ids = {i for n in range(500) for i in HashingTokenizer(50).encode(f"w{n}")}
    assert ids == set(range(1, 50))


def test_texts_have_the_same_ids_together_as_each_alone():
    tokenizer = HashingTokenizer(50)
    texts = ["a b, A!", "", "b a", "c"]
    together = tokenizer.encode_all(texts)
    assert together == [tokenizer.encode(text) for text in texts]
    assert together[0][1] == together[0][4] == together[2][2]
    assert vars(tokenizer) == vars(HashingTokenizer(50))  # it keeps no word


def test_cutting_keeps_the_mark_of_the_end():
    tokenizer = HashingTokenizer(50)
    tokens, n_cut = tokenize(tokenizer, ["a b c d e", "a b", "a b c"], 4, 0)
    assert tokens.lengths.tolist() == [4, 4, 4]
    assert n_cut == 2
    assert tokens.ids[[3, 7, 11]].tolist() == [2, 2, 2]


@pytest.mark.parametrize(("size", "pad"), [(7, 0), (50, 50), (50, -1)])
def test_a_vocabulary_without_room_is_refused(size, pad):
    with pytest.raises(ValueError, match=r"config has (vocab_size|pad_token_id)="):
        HashingTokenizer(size, pad)
