"""Recurrent models: the lecture's weights, rows, pixels, characters, memory, and counting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.classical import gaussians, ngram
from models.config import stored
from models.generative import pixel_rnn
from models.lab.run import Run
from models.lab.settings import changed, configure
from models.lab.tasks import char_rnn, copying
from models.lab.tasks.pixel_rnn import PRESETS as PIXEL_PRESETS
from models.lab.tasks.row_rnn import PRESETS as ROW_PRESETS
from models.lab.tasks.row_rnn import RowRNNClassifier
from models.lab.train import train
from models.sequence import rnn
from models.sequence.char_rnn import SHAKESPEARE, SIZES, CharRNN, CharRNNConfig
from tests.published import parameter_count, unfilled_weights
from tinygrad_cv import data

DIGITS = data.digits()
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_the_plain_network_is_its_three_lines(nonlinearity: str) -> None:
    model = rnn.ElmanRNN(3, 5, 2, nonlinearity, rng=RNG)
    x, h = RNG.normal(size=(6, 4, 3)).astype(np.float32), np.zeros((4, 5), np.float32)
    outputs, states = model(x)
    U, W, V, b, c = (p.data for p in (model.U, model.W, model.V, model.b, model.c))
    activation = {"tanh": np.tanh, "relu": lambda a: np.maximum(a, 0)}[nonlinearity]
    for t in range(6):
        h = activation(x[t] @ U.T + h @ W.T + b)
        np.testing.assert_allclose(states.numpy()[t], h, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(outputs.numpy()[t], h @ V.T + c, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", rnn.CELLS)
def test_rows_after_an_images_end_do_not_count(cell: str) -> None:
    config = replace(ROW_PRESETS["tiny"].model, cell=cell, bidirectional=True, dropout=0.0)
    model = rnn.RowRNN(config, rng=RNG)
    images, lengths = DIGITS.images[:3].copy(), np.array([8, 5, 6])
    first = model(images, lengths).numpy()
    for image, length in zip(images, lengths, strict=True):
        image[length:] = 7
    np.testing.assert_allclose(model(images, lengths).numpy(), first, atol=1e-6)


def test_the_top_layer_gives_the_class() -> None:
    config = replace(ROW_PRESETS["tiny"].model, num_layers=2, bidirectional=True, dropout=0.0)
    model = rnn.RowRNN(config, rng=np.random.default_rng(0))
    before = model(DIGITS.images[:3]).numpy()
    for name in ("weight_ih_l1", "weight_ih_l1_reverse"):
        getattr(model.recurrent, name).data += 0.1
        after = model(DIGITS.images[:3]).numpy()
        assert not np.allclose(after, before, atol=1e-3), name
        before = after


# ------------------------------------------------------------------------------------------------------------- pixels


@given(st.integers(0, 63), st.integers(0, 2**32 - 1))
def test_a_pixel_depends_on_those_before_it_only(i: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    model = pixel_rnn.PixelRNN(PIXEL_PRESETS["tiny"].model, rng=np.random.default_rng(0)).eval()
    levels = rng.integers(0, 17, (2, 64))
    changed = levels.copy()
    changed[:, i:] = rng.integers(0, 17, (2, 64 - i))
    with tg.no_grad():
        one, two = model(levels)[0].numpy(), model(changed)[0].numpy()
    np.testing.assert_allclose(one[: i + 1], two[: i + 1], atol=1e-6)


def test_pixels_one_by_one_are_pixels_at_once() -> None:
    model = pixel_rnn.PixelRNN(PIXEL_PRESETS["tiny"].model, rng=RNG).eval()
    levels, state = RNG.integers(0, 17, (3, 64)), None
    with tg.no_grad():
        whole = model(levels)[0].numpy()
        for i in range(64):
            logits, state = model(levels, i, i + 1, state)
            np.testing.assert_allclose(logits.numpy()[0], whole[i], atol=1e-5)


def test_each_neighbour_reaches_its_pixel() -> None:
    model = pixel_rnn.PixelRNN(PIXEL_PRESETS["tiny"].model, rng=RNG)
    around = model.neighbours(np.arange(64)[None] % 17)[:, 0]  # (H W, neighbours)
    assert around[0].tolist() == [17, 17, 17, 17]
    assert around[8 + 3].tolist() == [(8 + 2) % 17, 2, 3, 4]
    assert around[8 + 7].tolist() == [(8 + 6) % 17, 6, 7, 17]


def test_draws_follow_their_probabilities() -> None:
    p = np.array([0.1, 0.2, 0.7])
    counts = np.bincount(pixel_rnn.draw(np.tile(np.log(p), (20_000, 1)), np.random.default_rng(0)), minlength=3)
    np.testing.assert_allclose(counts / 20_000, p, atol=0.01)


def test_levels_of_the_discretised_gaussian_add_up_to_one() -> None:
    """All images of two pixels with five levels, their probabilities from their bits."""
    rng = np.random.default_rng(0)
    known, labels = rng.integers(0, 5, (60, 2)), np.repeat([0, 1], 30)
    every = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2)
    bits = [gaussians.discretised(known, labels, image[None], 5, 1e-2) for image in every]
    assert sum(2 ** (-2 * b) for b in bits) == pytest.approx(1, abs=1e-9)


@given(st.floats(-40, 40), st.floats(0.01, 3))
def test_intervals_of_the_normal_distribution_keep_their_tails(low: float, width: float) -> None:
    from scipy.integrate import quad

    ours = gaussians.log_interval(np.array(low), np.array(low + width))
    near = min(abs(low), abs(low + width)) if low * (low + width) > 0 else 0.0
    density = lambda x: np.exp(-(x * x - near * near) / 2)  # scaled so that it does not underflow
    exact = np.log(quad(density, low, low + width, epsabs=0, limit=200)[0] / np.sqrt(2 * np.pi)) - near * near / 2
    assert ours == pytest.approx(exact, rel=1e-6, abs=1e-6)


# ---------------------------------------------------------------------------------------- counting


@given(st.integers(2, 4), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_counted_probabilities_add_up_to_one(vocabulary: int, order: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    contexts, symbols = ngram.windows(rng.integers(0, vocabulary, 30), order)
    asked = rng.integers(0, vocabulary, (1, order))
    p = [
        ngram.witten_bell(contexts, symbols, asked, np.array([s]), vocabulary)[0]
        for s in range(vocabulary)
    ]
    assert min(p) > 0
    assert sum(p) == pytest.approx(1)


def test_witten_bell_by_hand() -> None:
    """In 0 0 1: p(0) = (2 + 2 / 2) / 5 = .6, p(1) = .4; after 0: p(0) = (1 + 2 x .6) / 4 = .55."""
    contexts, symbols = ngram.windows(np.array([0, 0, 1]), 0)
    assert ngram.witten_bell(contexts, symbols, contexts[:1], np.array([0]), 2)[0] == pytest.approx(
        0.6
    )
    contexts, symbols = np.array([[0], [0]]), np.array([0, 1])
    p = ngram.witten_bell(contexts, symbols, np.array([[0], [1]]), np.array([0, 0]), 2)
    np.testing.assert_allclose(
        p, [(1 + 2 * 0.5) / 4, 0.5]
    )  # an unseen context says what the shorter one says


# -------------------------------------------------------------------------------------- characters

TEXT = data.Text(np.arange(300) % 7, np.arange(60) % 7, "abcdefg")


def char_task(**changes: Any) -> char_rnn.CharRNNTask:
    """A tiny task with other values: char_task(**{"model.cell": "gru"})."""
    settings = changed(char_rnn.PRESETS["tiny"].fitted(TEXT), changes)
    return char_rnn.CharRNNTask(settings, TEXT, rng=np.random.default_rng(0))


@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_streams_go_on_where_they_stopped(length: int, size: int, seed: int) -> None:
    stream = data.streams(np.arange(200), size, length, rng=np.random.default_rng(seed))
    last = None
    for _ in range(2 * stream.per_epoch + 1):
        inputs, targets, fresh = next(stream)
        assert inputs.shape == targets.shape == (length, size)
        np.testing.assert_array_equal(targets, inputs + 1)
        if not fresh:
            np.testing.assert_array_equal(inputs[0], last)
        last = targets[-1]


def test_streams_resume(seed: int = 0) -> None:
    one = data.streams(np.arange(500), 3, 5, rng=np.random.default_rng(seed))
    for _ in range(one.per_epoch + 3):
        next(one)
    state = one.state()
    wanted = [next(one) for _ in range(one.per_epoch)]
    two = data.streams(np.arange(500), 3, 5, rng=np.random.default_rng(99))
    two.restore(state)
    for a, b in zip(wanted, (next(two) for _ in wanted), strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        assert a[2] == b[2]
    with pytest.raises(ValueError, match="chunks an epoch"):
        data.streams(np.arange(400), 3, 5, rng=np.random.default_rng(0)).restore(state)
    with pytest.raises(ValueError, match="too short for 9 streams"):
        data.streams(np.arange(50), 9, 9, rng=np.random.default_rng(0))


def test_the_state_is_carried_and_its_gradient_is_not() -> None:
    task = char_task()
    task.step(0)
    assert task.carried.h.any()
    assert isinstance(task.carried.h, np.ndarray)
    before = task.carried.h.copy()
    task.step(1)
    assert not np.array_equal(task.carried.h, before)


def test_the_next_chunk_goes_on_from_the_carried_state(monkeypatch: Any) -> None:
    task, given = char_task(), []
    forward = task.model.forward
    monkeypatch.setattr(
        task.model,
        "forward",
        lambda x, state: given.append([s.copy() for s in state]) or forward(x, state),
        raising=False,
    )
    for step in range(3):
        before = [task.carried.h.copy(), task.carried.c.copy()]
        task.step(step)
        for one, other in zip(given[-1], before, strict=True):
            np.testing.assert_array_equal(one, other)
    assert given[-1][0].any()


@pytest.mark.parametrize("cell", rnn.CELLS)
def test_losses_are_those_of_reading_one_character_after_the_other(cell: str) -> None:
    task = char_task(**{"model.cell": cell})
    text = np.random.default_rng(1).integers(0, 7, 80)
    losses = task.losses(text, 70, streams=3)
    with tg.no_grad():
        logits, _ = task.model.eval()(text[:-1, None])
    exact = -tg.kernels.log_softmax(logits).numpy()[np.arange(79), 0, text[1:]]
    np.testing.assert_allclose(
        losses, exact[69:], atol=2e-3
    )  # the streams start a little later than the text
    assert np.isfinite(losses).all()


def test_a_model_learns_a_rhythm_and_writes_it() -> None:
    model = {"model.hidden_size": 24, "model.dropout": 0.0}
    training = {"training.steps": 300, "training.lr": 1e-2, "training.ema_decay": 0.9}
    task = char_task(**model, **training)
    for step in range(300):
        task.step(step)
    assert task.sample(14, prompt="ab", rng=np.random.default_rng(0)) == "abcdefgabcdefgab"
    assert task.losses(np.arange(300) % 7, 200).mean() < 0.1
    with pytest.raises(ValueError, match="'x' at 0 is not among"):
        task.sample(3, prompt="x", rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="temperature=0: it must be above 0"):
        task.sample(3, temperature=0, rng=np.random.default_rng(0))


def test_a_vocabulary_that_is_not_the_texts_is_refused() -> None:
    refused = r"model\.vocabulary='abc': the characters of the text are 'abcdefg'"
    with pytest.raises(ValueError, match=refused):
        configure(char_rnn.PRESETS, "tiny", TEXT, {"model.vocabulary": "abc"})


def test_a_trained_character_model_is_loaded_without_its_task(tmp_path: Path) -> None:
    task, run = char_task(**{"model.cell": "gru"}), Run(tmp_path)
    run.create({"config": stored(task.settings)})
    train(task, run, 2)
    model = CharRNN.from_pretrained(tmp_path)
    assert "vocabulary='abcdefg', cell='gru'" in repr(model)
    options = {"n": 20, "prompt": "ab", "temperature": 0.5}
    written = task.sample(**options, rng=np.random.default_rng(0))
    assert model.sample(**options, rng=np.random.default_rng(0)) == written


def test_a_trained_row_model_is_loaded_without_its_task(tmp_path: Path) -> None:
    task = RowRNNClassifier(ROW_PRESETS["tiny"], DIGITS, rng=np.random.default_rng(0))
    run = Run(tmp_path)
    run.create({"config": stored(task.settings)})
    train(task, run, 2)
    model = rnn.RowRNN.from_pretrained(tmp_path)
    with tg.no_grad():
        logits = model(DIGITS.images[:5])
    logp = tg.kernels.log_softmax(logits).numpy()
    np.testing.assert_array_equal(logp, task.log_probabilities(DIGITS.images[:5]))


# ------------------------------------------------------------------------------------------ memory


def test_gradients_of_the_plain_network_vanish_first() -> None:
    norms = {cell: rnn.gradient_norms(cell, rng=np.random.default_rng(0)) for cell in rnn.CELLS}
    assert norms["rnn"][60] < 1e-12 * norms["rnn"][0]
    assert min(norms["gru"][60] / norms["gru"][0], norms["lstm"][60] / norms["lstm"][0]) > 1e-3


def test_the_copying_task_asks_for_what_was_shown() -> None:
    inputs, targets = copying.copying(copying.PRESETS["tiny"].data, 4, rng=RNG)
    assert inputs.shape == (5 + 3 + 1 + 4, 4)
    np.testing.assert_array_equal(inputs[:5], targets)
    assert (inputs[8] == 9).all()
    assert not inputs[5:8].any()
    assert not inputs[9:].any()


def test_one_who_remembers_copies_perfectly() -> None:
    task = copying.Copying(copying.PRESETS["tiny"], None, rng=np.random.default_rng(0))

    def oracle(symbols: np.ndarray) -> Any:
        logits = np.zeros((*symbols.shape, 10), np.float32)
        np.put_along_axis(logits[-5:], symbols[:5, :, None], 50.0, axis=-1)
        return tg.Tensor(logits, requires_grad=True)

    task.model.forward = oracle  # type: ignore[method-assign]
    assert task.step(0)["accuracy"] == 1
    assert task.accuracy() == 1


@pytest.mark.parametrize(("size", "one_hot"), [("char-rnn", 240_321), ("char-rnn-shakespeare", 5_421_633)])
def test_published_character_models_have_their_numbers_of_parameters(size: str, one_hot: int) -> None:
    """Those of a network whose characters are one-hot, and an embedding as wide as the vocabulary."""
    assert len(SHAKESPEARE) == 65
    with unfilled_weights():
        model = CharRNN(SIZES[size], rng=np.random.default_rng(0))
    assert parameter_count(model) == one_hot + 65**2


def test_a_model_of_a_text_without_newlines_writes() -> None:
    """Without a prompt it begins with the first character that it knows."""
    model = CharRNN(CharRNNConfig("abc", hidden_size=4, embedding_size=2), rng=np.random.default_rng(0))
    assert model.sample(5, rng=np.random.default_rng(0))[0] == "a"
    assert len(model.sample(5, rng=np.random.default_rng(0))) == 6
