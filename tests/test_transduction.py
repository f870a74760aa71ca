"""Sequences to sequences: decoding, masks, attention, pairs, and that each architecture learns."""

from __future__ import annotations

import datetime
import doctest
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_cv as tg
from models.config import named_values
from models.lab.report.images import write_png
from models.lab.run import Run
from models.lab.settings import changed, configure
from models.lab.tasks import TASKS, dates, reversal, strip, transduction
from models.lab.tasks.pairs import ORDERS, Pairs
from models.lab.train import train
from models.sequence import attention, decoding
from models.sequence import symbols as sequences
from models.sequence.rnn import CELLS
from models.sequence.seq2seq import Seq2SeqConfig, Symbols
from models.sequence.symbols import END, FIRST, START
from models.sequence.transformer import SIZES, Transformer, TransformerConfig, sinusoids
from models.vision.columns import Columns
from models.vision.resnet import ResNetConfig
from tinygrad_cv import data, nn, safetensors

ARCHITECTURES = transduction.ARCHITECTURES
DIGITS = data.digits()
TINY_STRIP = strip.StripReading.presets["tiny"]
CHANGES = ("data.noise", "data.rotation", "data.scaling", "data.shear")  # of a digit in training
UNCHANGED = changed(TINY_STRIP, {"data.gap": 0} | dict.fromkeys(CHANGES, 0.0))
seeds = st.integers(0, 2**32 - 1)
architectures = st.sampled_from(ARCHITECTURES)
VOCABULARY = 5  # symbols, with END and START


RECURRENT = Seq2SeqConfig(hidden_size=8)
TRANSFORMER = TransformerConfig.of_size(2, 8, 2, 12, 0.1)


def model(
    architecture: str,
    seed: int = 0,
    sharp: float = 1.0,
    recurrent: Seq2SeqConfig = RECURRENT,
    transformer: TransformerConfig = TRANSFORMER,
) -> decoding.Transducer:
    """A small random model in float64; `sharp` multiplies its logits."""
    config = transduction.TransductionConfig(architecture, recurrent, transformer)
    rng = np.random.default_rng(seed)
    made = transduction.build(config, Symbols(7, 8, rng=rng), VOCABULARY, rng=rng)
    for part in made.modules():
        for name, p in part.named_parameters(recurse=False):
            setattr(part, name, nn.parameter(p.data.astype(np.float64)))
    last = made.head if architecture == "transformer" else made.V
    last.weight.data *= sharp
    return made.eval()


def tiny(task: str, **changes: Any) -> Any:
    """Tiny settings of a task with other values: tiny("dates", **{"training.steps": 8})."""
    return changed(TASKS[task].presets["tiny"], changes)


def drawn(
    seed: int, size: int = 3, longest: int = 6, outputs: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sources (B, S) with lengths, and inputs (B, L)."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, size)
    inputs = rng.integers(FIRST, VOCABULARY, (size, outputs))
    inputs[:, 0] = START
    return rng.integers(0, 7, (size, lengths.max())), lengths, inputs


# ---------------------------------------------------------------------------------------- decoding


@given(architectures, st.sampled_from(list(CELLS)), st.integers(1, 2), st.booleans(), seeds)
def test_symbols_one_by_one_are_symbols_at_once(
    architecture: str, cell: str, layers: int, pre_norm: bool, seed: int
) -> None:
    """To rounding: a row's product may be summed in another order than in a larger product."""
    recurrent = replace(RECURRENT, cell=cell, num_layers=layers)
    transformer = replace(TRANSFORMER, pre_norm=pre_norm)
    made = model(architecture, recurrent=recurrent, transformer=transformer)
    source, lengths, inputs = drawn(seed)
    with tg.no_grad():
        whole, state = made(source, lengths, inputs).numpy(), made.encode(source, lengths)
        for t in range(inputs.shape[1]):
            logits, state = made.step(inputs[:, t : t + 1], state)
            np.testing.assert_allclose(logits.numpy()[:, 0], whole[:, t], rtol=1e-9, atol=1e-11)
        logits, _ = made.step(
            inputs[:, 1:], made.step(inputs[:, :1], made.encode(source, lengths))[1]
        )
        np.testing.assert_allclose(logits.numpy(), whole[:, 1:], rtol=1e-9, atol=1e-11)


@given(architectures, st.integers(1, 3), seeds)
def test_a_symbol_depends_on_those_before_it_only(architecture: str, t: int, seed: int) -> None:
    made = model(architecture)
    source, lengths, inputs = drawn(seed)
    changed = inputs.copy()
    changed[:, t:] = np.random.default_rng(seed + 1).integers(
        FIRST, VOCABULARY, changed[:, t:].shape
    )
    with tg.no_grad():
        one, two = made(source, lengths, inputs).numpy(), made(source, lengths, changed).numpy()
    np.testing.assert_allclose(one[:, :t], two[:, :t], rtol=1e-9, atol=1e-11)


@given(architectures, st.integers(0, 3), seeds)
def test_padding_never_changes_a_result(architecture: str, more: int, seed: int) -> None:
    made = model(architecture)
    source, lengths, inputs = drawn(seed)
    rng = np.random.default_rng(seed + 1)
    padded = np.concatenate([source, source[:, :1].repeat(more, axis=1)], axis=1)
    outside = np.arange(padded.shape[1]) >= lengths[:, None]
    padded[outside] = rng.integers(0, 7, outside.sum())
    with tg.no_grad():
        together = made(padded, lengths, inputs).numpy()
        for i, length in enumerate(lengths):
            alone = made(source[i : i + 1, :length], lengths[i : i + 1], inputs[i : i + 1]).numpy()
            np.testing.assert_allclose(together[i], alone[0], rtol=1e-9, atol=1e-11)


@given(architectures, seeds, seeds)
def test_a_beam_of_one_is_greedy(architecture: str, weights: int, seed: int) -> None:
    made = model(architecture, weights, sharp=20)
    source, lengths, _ = drawn(seed)
    with tg.no_grad():
        one = decoding.greedy(made, source, lengths, 7)
        two, _ = decoding.beam_search(made, source, lengths, 7, width=1)
    np.testing.assert_array_equal(one, two[:, 0])


@settings(max_examples=10)
@given(architectures, st.sampled_from([0.0, 0.6, 1.5]), seeds)
def test_a_beam_wide_enough_finds_the_best_of_all_sequences(
    architecture: str, alpha: float, seed: int
) -> None:
    """All sequences of up to three symbols, END among them or not, each scored by itself."""
    made = model(architecture, seed, sharp=8)
    source, lengths, _ = drawn(seed, size=1)
    texts = [
        t
        for t in itertools.product(range(VOCABULARY), repeat=3)
        if END not in t[:-1] or not any(t[t.index(END) :])
    ]
    inputs = np.array([[START, *t[:-1]] for t in texts])
    with tg.no_grad():
        repeated = np.repeat(source, len(texts), axis=0), np.repeat(lengths, len(texts))
        logp = tg.kernels.log_softmax(made(*repeated, inputs)).numpy()
        best, scores = decoding.beam_search(
            made, source, lengths, 3, width=VOCABULARY**3, alpha=alpha
        )
    counts = [3 if END not in t else t.index(END) + 1 for t in texts]
    each = [
        sum(row[i, symbol] for i, symbol in enumerate(t[:n])) / ((5 + n) / 6) ** alpha
        for t, n, row in zip(texts, counts, logp, strict=True)
    ]
    assert scores[0, 0] == pytest.approx(max(each))
    assert tuple(best[0, 0]) == texts[int(np.argmax(each))]
    assert len({tuple(t) for t in best[0, : len(texts)]}) == len(texts)


def test_a_longer_sequence_wins_only_by_length_normalisation() -> None:
    """A model that ends at once with .51, else writes one symbol and then ends surely."""

    class Fixed(decoding.Transducer):
        def encode(self, source: Any, lengths: Any) -> Any:
            return None

        def step(self, symbols: Any, state: Any) -> Any:
            p = np.where(symbols[..., None] == START, [0.51, 1e-30, 0.49], [1, 1e-30, 1e-30])
            return tg.Tensor(np.log(p)), state

    source = np.zeros((1, 1), int)
    short, _ = decoding.beam_search(Fixed(), source, np.ones(1, int), 4, width=2, alpha=0.0)
    long, _ = decoding.beam_search(Fixed(), source, np.ones(1, int), 4, width=2, alpha=2.0)
    assert short[0, 0, 0] == END
    assert long[0, 0, :2].tolist() == [2, END]


# ------------------------------------------------------------------------------ scheduled sampling


@given(architectures, seeds)
def test_own_inputs_are_what_greedy_decoding_writes(architecture: str, seed: int) -> None:
    made = model(architecture, seed, sharp=20)
    source, lengths, inputs = drawn(seed)
    rng = np.random.default_rng(0)
    with tg.no_grad():
        np.testing.assert_array_equal(
            decoding.scheduled_inputs(made, source, lengths, inputs, 0.0, rng=rng), inputs
        )
        own = decoding.scheduled_inputs(made, source, lengths, inputs, 1.0, rng=rng)
        written = decoding.greedy(made, source, lengths, inputs.shape[1])
    assert (own[:, 0] == START).all()
    for row, text in zip(own, written, strict=True):
        until = [*text, END].index(END)
        np.testing.assert_array_equal(row[1 : until + 1], text[: len(row) - 1][:until])


def test_the_share_of_own_inputs_grows_to_what_was_asked_for(monkeypatch: Any) -> None:
    settings = tiny("reverse", **{"training.scheduled_sampling": 0.5, "training.steps": 10})
    task = reversal.Reversal(settings, None, rng=np.random.default_rng(0))
    shares = []
    scheduled = decoding.scheduled_inputs

    def watched(*args: Any, **settings: Any) -> np.ndarray:
        shares.append(args[4])
        assert not args[0].training
        return scheduled(*args, **settings)

    monkeypatch.setattr(transduction, "scheduled_inputs", watched)
    for step in range(11):
        task.step(step)
        assert task.model.training
    assert shares == pytest.approx(np.arange(1, 11) / 20)


def test_a_share_of_the_inputs_is_the_models_own() -> None:
    made = model("plain", sharp=20)
    source, lengths = np.zeros((400, 3), int), np.full(400, 3)
    never = np.full((400, 6), 3)
    never[:, 0] = START
    with tg.no_grad():
        assert (
            3 not in decoding.greedy(made, source, lengths, 6)[0]
        )  # so what the model writes is another symbol
        chosen = decoding.scheduled_inputs(
            made, source, lengths, never, 0.3, rng=np.random.default_rng(0)
        )
    assert (chosen[:, 1] != 3).mean() == pytest.approx(0.3, abs=0.08)


# --------------------------------------------------------------------------------------- attention


def test_the_lectures_example() -> None:
    assert doctest.testmod(attention).attempted > 10
    assert doctest.testmod(attention).failed == 0


def test_scores_by_hand() -> None:
    rng = np.random.default_rng(0)
    query, memory, mask = (
        rng.normal(size=(2, 3, 4)),
        rng.normal(size=(2, 5, 6)),
        sequences_mask([5, 2], 5),
    )
    for kind in (attention.AdditiveAttention, attention.MultiplicativeAttention):
        layer = kind(4, 6, rng=rng)
        weights = layer.weights(query, layer.keys(memory), mask).numpy()
        mixed = layer(query, layer.keys(memory), memory, mask).numpy()
        for b, i in np.ndindex(2, 3):
            if kind is attention.AdditiveAttention:
                W, U, v = layer.W.weight.data, layer.U.weight.data, layer.v.data
                scores = [
                    v @ np.tanh(W @ query[b, i] + U @ m + layer.U.bias.data) for m in memory[b]
                ]
            else:
                scores = [query[b, i] @ layer.W.weight.data @ m for m in memory[b]]
            e = np.exp(scores) * mask[b, 0]
            np.testing.assert_allclose(weights[b, i], e / e.sum(), rtol=1e-5)
            np.testing.assert_allclose(mixed[b, i], e / e.sum() @ memory[b], rtol=1e-5, atol=1e-6)


def sequences_mask(lengths: list[int], size: int) -> np.ndarray:
    mask = attention.padding_mask(lengths, size)
    assert mask.shape == (len(lengths), 1, size)
    assert mask.sum(axis=-1).ravel().tolist() == lengths
    return mask


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_alignments_are_distributions_over_the_source(architecture: str) -> None:
    made = model(architecture)
    source, lengths, inputs = drawn(3)
    with tg.no_grad():
        weights = made.alignment(source, lengths, inputs)
    if architecture == "plain":
        assert weights is None
        return
    assert weights is not None
    assert weights.shape == (*inputs.shape, source.shape[1])
    np.testing.assert_allclose(weights.sum(axis=-1), 1)
    assert not weights[
        ~np.broadcast_to(attention.padding_mask(lengths, source.shape[1]), weights.shape)
    ].any()


@pytest.mark.parametrize("architecture", ["additive", "multiplicative"])
def test_alignments_are_the_weights_that_were_used(architecture: str) -> None:
    """With the identity for a memory, what attention mixes is its weights."""
    made = model(architecture)
    source, lengths, inputs = drawn(4, outputs=3)
    *memory, states = made.encode(source, lengths)
    _, contexts, _ = made.decode(made.target(inputs), memory, states)
    weights = made.alignment(source, lengths, inputs)
    np.testing.assert_allclose(weights @ memory[0].numpy(), contexts.numpy(), rtol=1e-9)


@given(st.integers(1, 40), st.integers(1, 9).map(lambda n: 2 * n))
def test_positions_are_sines_and_cosines(length: int, dimension: int) -> None:
    table = sinusoids(length, dimension)
    assert table.shape == (length, dimension)
    t, i = length - 1, dimension // 2 - 1
    angle = t / 10000 ** (2 * i / dimension)
    np.testing.assert_allclose(
        table[t, 2 * i : 2 * i + 2], [np.sin(angle), np.cos(angle)], atol=1e-6
    )


@pytest.mark.parametrize(
    ("size", "parameters", "published"), [("base", 44_138_496, 65e6), ("big", 176_357_376, 213e6)]
)
def test_transformers_of_the_paper_have_their_number_of_parameters(
    size: str, parameters: int, published: float, monkeypatch: Any
) -> None:
    """With the paper's one matrix for all symbols they have its number, to 3 percent."""
    for name in ("uniform", "xavier_uniform"):  # nothing is drawn
        draw = lambda shape, *args, **settings: np.empty(shape, np.float32)
        monkeypatch.setattr(nn.init, name, draw)
    config, rng = SIZES[size], np.random.default_rng(0)
    assert config.encoder_layers == config.decoder_layers == 6
    one = replace(config, encoder_layers=1, decoder_layers=1)  # all layers are alike
    transformer = Transformer(nn.Module(), VOCABULARY, one, rng=rng)
    parts = (transformer.encoder, transformer.decoder)
    assert 6 * sum(p.size for part in parts for p in part.parameters()) == parameters
    assert parameters + 37_000 * config.d_model == pytest.approx(published, rel=0.03)


# ------------------------------------------------------------------------------------------- pairs


def test_inputs_and_labels_of_a_target() -> None:
    pairs = Pairs(np.zeros((2, 1)), np.ones(2, int), np.array([[5, 6, END, END], [7, 8, 9, END]]))
    np.testing.assert_array_equal(pairs.inputs, [[START, 5, 6, END], [START, 7, 8, 9]])
    np.testing.assert_array_equal(pairs.labels, [[5, 6, END, data.IGNORE_INDEX], [7, 8, 9, END]])


@given(st.lists(st.text("abc-", max_size=6), min_size=1, max_size=5))
def test_texts_survive_their_numbers(texts: list[str]) -> None:
    symbols, lengths = sequences.encode(texts, "-abc")
    assert sequences.decode(symbols, "-abc") == texts
    assert (symbols[np.arange(len(texts)), lengths] == END).all()
    with pytest.raises(ValueError, match="'b' in 'ab' is none of the symbols 'a'"):
        sequences.encode(["ab"], "a")


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 3), seeds)
def test_a_strip_shows_its_digits_in_their_order(lengths: list[int], gap: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.random((sum(lengths), 4, 3)).astype(np.float32) + 0.1
    columns, widths = strip.strips(images, np.array(lengths), gap, rng=rng)
    left = iter(images)
    for row, width, length in zip(columns, widths, lengths, strict=True):
        assert not row[width:].any()
        filled = np.flatnonzero(row.any(axis=1))
        np.testing.assert_array_equal(
            row[filled], np.concatenate([next(left).T for _ in range(length)])
        )
        assert width == filled[-1] + 1
        assert (np.diff(np.concatenate([[-1], filled])) <= gap + 1).all()
    assert next(left, None) is None


@pytest.mark.parametrize("order", ORDERS)
def test_the_target_of_a_strip_is_what_stands_in_it(order: str) -> None:
    settings = changed(UNCHANGED, {"data.order": order})
    task = strip.StripReading(settings, DIGITS, rng=np.random.default_rng(0))
    pairs = task.draw(20, task.training, rng=np.random.default_rng(0))
    for columns, width, text in zip(
        pairs.source, pairs.lengths, sequences.decode(pairs.target, task.alphabet), strict=True
    ):
        images = columns[:width].reshape(-1, 8, 8).swapaxes(1, 2)
        places = [np.flatnonzero((DIGITS.images == image).all(axis=(1, 2)))[0] for image in images]
        digits = DIGITS.labels[places].tolist()
        assert [int(c) for c in text] == digits[:: 1 if order == "same" else -1]
    with pytest.raises(ValueError, match="the order is one of same, reversed, not 'random'"):
        changed(settings, {"data.order": "random"}).check(DIGITS)


@pytest.mark.parametrize("changes", [CHANGES, *[(name,) for name in CHANGES]])
def test_training_strips_are_changed_and_test_strips_are_not(changes: tuple[str, ...]) -> None:
    usual = dict(named_values(TINY_STRIP))
    settings = changed(UNCHANGED, {name: usual[name] for name in changes})
    task = strip.StripReading(settings, DIGITS, rng=np.random.default_rng(0))
    test = data.digits("test")
    known = {image.T.tobytes() for image in test.images}
    pairs = task.draw(5, test, 3, rng=np.random.default_rng(0))
    assert all(
        np.ascontiguousarray(c).tobytes() in known for row in pairs.source for c in np.split(row, 3)
    )
    known = {image.T.tobytes() for image in DIGITS.images}
    pairs = task.draw(5, DIGITS, 3, rng=np.random.default_rng(0))
    assert not any(
        np.ascontiguousarray(c).tobytes() in known for row in pairs.source for c in np.split(row, 3)
    )


@given(st.integers(1, 13), st.integers(0, 9), seeds)
def test_a_strip_makes_the_same_places_however_far_it_is_padded(
    width: int, more: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = Columns(
        ResNetConfig(embedding_size=3, stem_kernel_size=5, hidden_sizes=(3, 4)), 6, 5, rng=rng
    )
    for x in layer.parameters():
        x.data[...] = rng.normal(size=x.shape)
    layer.eval()
    columns = rng.random((2, width + more, 6)).astype(
        np.float32
    )  # what stands behind the end is not read either
    alone, counts = layer(columns[:1, :width], np.array([width]))
    padded, same = layer(columns, np.array([width, width + more]))
    assert alone.shape == (1, -(-width // 4), 5)
    assert counts[0] == same[0] == alone.shape[1]
    np.testing.assert_allclose(
        padded.numpy()[0, : counts[0]], alone.numpy()[0], rtol=1e-4, atol=1e-4
    )


def test_dates_are_right_in_every_form() -> None:
    some = datetime.date(1998, 5, 3)
    assert [dates.written(some, form) for form in dates.FORMS[:4]] == [
        "sunday, 3 may 1998",
        "sun 3 may 1998",
        "sunday, may 3rd, 1998",
        "3 may 1998",
    ]
    last = [dates.written(some, form) for form in dates.FORMS[-4:]]
    assert last == ["05/03/98", "5/3/1998", "3.5.1998", "03.05.98"]
    assert [dates.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 31)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "31st",
    ]  # fmt: skip


def test_no_form_means_two_dates() -> None:
    """Over all dates of a century, whatever is written means one of them."""
    means: dict[str, str] = {}
    first = datetime.date(dates.YEARS[0], 1, 1).toordinal()
    for day in range(first, first + 36525):
        date = datetime.date.fromordinal(day)
        for form in dates.FORMS:
            assert means.setdefault(dates.written(date, form), date.isoformat()) == date.isoformat()


def test_held_out_dates_are_never_seen() -> None:
    train, test = dates.days("train"), dates.days("test")
    assert not np.intersect1d(train, test).size
    assert len(train) + len(test) == 36525
    assert len(test) == pytest.approx(3652, abs=1)
    task = dates.Dates(dates.Dates.presets["tiny"], None, rng=np.random.default_rng(0))
    held_out = {datetime.date.fromordinal(int(day)).isoformat() for day in test}
    drawn = sequences.decode(
        task.draw(500, task.training, rng=np.random.default_rng(0)).target, task.alphabet
    )
    assert not held_out & {*drawn}
    pairs = task.draw(50, task.pool(None, "test"), rng=np.random.default_rng(0))
    assert {*sequences.decode(pairs.target, task.alphabet)} <= held_out


# ------------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_learns_to_reverse_a_little(architecture: str) -> None:
    settings = reversal.LettersSettings(
        transduction.TransductionConfig(
            architecture,
            Seq2SeqConfig(hidden_size=32, dropout=0.0),
            TransformerConfig.of_size(2, 32, 2, 64, 0.0),
        ),
        transduction.TransductionTraining(
            steps=300,
            batch_size=32,
            lr=1e-2 if architecture != "transformer" else 4e-3,
            warmup_steps=20,
            ema_decay=0.9,
        ),
        reversal.LettersData(letters=4, longest=3),
    )
    task = reversal.Reversal(settings, None, rng=np.random.default_rng(0))
    for step in range(settings.training.steps):
        task.step(step)
    assert task.exact_match(task.draw(200, None, 3, rng=np.random.default_rng(1))) > 0.95
    assert task.sample(1, rng=np.random.default_rng(0), source="abd") == "abd -> dba"
    assert task.sample(1, rng=np.random.default_rng(0), source="abd", beam=3) == "abd -> dba"
    with pytest.raises(ValueError, match="a beam is at least 1 wide, not 0"):
        task.sample(1, rng=np.random.default_rng(0), source="abd", beam=0)


@pytest.mark.parametrize(
    ("architecture", "count"),
    [("plain", 2716), ("additive", 2924), ("multiplicative", 2460), ("transformer", 3164)],
)
def test_tiny_architectures_have_their_number_of_parameters(architecture: str, count: int) -> None:
    settings = tiny("reverse", **{"model.architecture": architecture})
    task = reversal.Reversal(settings, None, rng=np.random.default_rng(0))
    assert sum(p.size for p in task.model.parameters()) == count


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_run_with_dropout_and_own_inputs_resumes_to_the_same_bits(
    architecture: str, tmp_path: Path
) -> None:
    runs = {name: Run(tmp_path / name) for name in ("whole", "parts")}
    dropout = {"model.recurrent.dropout": 0.3, "model.transformer.dropout": 0.3}
    training = {"training.scheduled_sampling": 0.5, "training.steps": 8}
    settings = tiny("dates", **{"model.architecture": architecture}, **dropout, **training)
    make = lambda: dates.Dates(settings, None, rng=np.random.default_rng(0))
    for run in runs.values():
        run.create({"task": "dates"})
    train(make(), runs["whole"], 8, log_every=3, save_every=4)
    train(make(), runs["parts"], 4, log_every=3, save_every=4)
    train(make(), runs["parts"], 8, log_every=3, save_every=4)
    left, right = (safetensors.load(run.folder / "checkpoint.safetensors") for run in runs.values())
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_a_pair_matches_only_as_a_whole(monkeypatch: Any) -> None:
    task = reversal.Reversal(reversal.Reversal.presets["tiny"], None, rng=np.random.default_rng(0))
    pairs = task.pairs([("ab", "ba"), ("abc", "cba"), ("a", "a")])
    monkeypatch.setattr(task, "write", lambda *args: ["ba", "cb", "aa"])
    assert task.exact_match(pairs) == pytest.approx(1 / 3)


def test_a_strip_is_read_from_an_image_file(tmp_path: Path) -> None:
    task = strip.StripReading(TINY_STRIP, DIGITS, rng=np.random.default_rng(0))
    row = np.concatenate(list(DIGITS.images[:3]), axis=1)  # (8, 24)
    for name, image in (("light.png", row), ("dark.png", 1 - row)):
        write_png(tmp_path / name, np.round(255 * image).astype(np.uint8))
        columns, lengths = task.read(str(tmp_path / name))
        assert lengths == [24]
        np.testing.assert_allclose(columns[0], row.T, atol=3e-3)
    line = task.sample(1, rng=np.random.default_rng(0), source=str(tmp_path / "light.png"))
    assert line.startswith(f"{tmp_path / 'light.png'} -> ")
    large = strip.StripReading(
        strip.StripReading.presets["mnist"], None, rng=np.random.default_rng(0)
    )
    with pytest.raises(ValueError, match="give it --set source=IMAGE"):
        large.sample(1, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.architecture": "lstm"}, "there are plain, additive, multiplicative, transformer"),
        ({"training.schedule": "linear"}, "training.schedule='linear': there are cosine, inverse square root"),
    ],
)
def test_a_wrong_setting_lists_the_right_ones(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configure(dates.Dates.presets, "tiny", None, changes)


def test_strips_want_labelled_grey_digits() -> None:
    make = lambda given: strip.StripReading(TINY_STRIP, given, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="digits has no labels to learn from"):
        make(replace(DIGITS, labels=None))
    with pytest.raises(
        ValueError, match="strips are made of the digits 0123456789; letters has 3 classes"
    ):
        make(replace(DIGITS, name="letters", classes=("a", "b", "c")))


def test_settings_of_strips_that_contradict_each_other_are_refused() -> None:
    def refused(dataset: data.Dataset | None, changes: dict[str, str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            configure(strip.StripReading.presets, "tiny", dataset, changes)

    coloured = replace(DIGITS, images=np.stack([DIGITS.images] * 3, axis=-1))
    refused(coloured, {}, r"strips are made of grey images \(H, W\), not \(8, 8, 3\)")
    refused(None, {"data.longest": "2"}, r"data\.longest=2: must be at least data\.shortest, 3")
    refused(None, {"model.image_height": "9"}, r"model\.image_height=9: .* of size \(8, 8\)")
    refused(DIGITS, {"data.image_size": "(8, 9)"}, r"data\.image_size=\(8, 9\): .* are \(8, 8\)")
