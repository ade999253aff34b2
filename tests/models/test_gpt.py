import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from geovq.models import gpt as module
from geovq.models.config import GPTConfig
from geovq.models.gpt import GPT, cross_entropy, drop_labels, loss, token_nats
from geovq.validation import InputError
from tests import reference


def make(classes=0, num_codes=7, length=5, scale=1.0, **sizes):
    """A tiny GPT; `scale` multiplies its matrices, so that attention and distributions are far from uniform."""
    grid = sizes.pop("grid", (1, length))
    config = GPTConfig(num_codes, grid, classes, **({"layers": 2, "width": 8, "heads": 2} | sizes))
    model = GPT(config, rngs=nnx.Rngs(0))
    nnx.update(model, jax.tree.map(lambda leaf: leaf * scale if leaf.ndim == 2 else leaf, nnx.state(model)))
    return model


TOKENS = jnp.array([[0, 1, 2, 3, 4], [6, 6, 0, 5, 2], [1, 1, 1, 1, 1]])
LABELS = jnp.array([0, 2, 1])


@pytest.mark.parametrize("labels", [None, LABELS])
@pytest.mark.parametrize("sizes", [{}, {"layers": 3, "heads": 1}, {"width": 4, "heads": 4}])
def test_equals_reference(labels, sizes):
    model = make(0 if labels is None else 3, scale=20.0, **sizes)
    params = jax.tree.map(np.float64, nnx.to_pure_dict(nnx.state(model)))
    for i, logits in enumerate(model(TOKENS, labels)):
        label = 0 if labels is None else int(labels[i])
        expected = reference.gpt_logits(params, model.config.heads, np.asarray(TOKENS[i]), label)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


SEVERAL = jnp.array([[[0, 1], [2, 3], [4, 0], [1, 1]], [[6, 6], [0, 5], [2, 2], [3, 4]]])
"""Tokens of a 2x2 grid, with two codes each."""

THREE = jnp.concatenate([SEVERAL, (SEVERAL.sum(axis=-1, keepdims=True) + 1) % 7], axis=-1)

LAYOUTS = [{"code_layout": "sequence"}, {"code_layout": "heads"}]


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("sizes", [{"num_quantizers": 1}, *({"num_quantizers": 3, **layout} for layout in LAYOUTS)])
def test_several_codes_and_rotary_positions_equal_reference(sizes, rotary):
    model = make(3, scale=20.0, grid=(2, 2), rotary=rotary, **sizes)
    tokens = THREE[..., 0] if sizes["num_quantizers"] == 1 else THREE
    params = jax.tree.map(np.float64, nnx.to_pure_dict(nnx.state(model)))
    for i, logits in enumerate(model(tokens, LABELS[:2])):
        expected = reference.gpt_logits(
            params,
            model.config.heads,
            np.asarray(tokens[i]),
            int(LABELS[i]),
            grid=(2, 2) if rotary else None,
            codes_per_position=model.config.codes_per_position,
        )
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_code_depends_on_the_codes_before_it_alone(layout):
    model = make(scale=20.0, grid=(2, 2), num_quantizers=2, **layout)
    before = np.asarray(model(SEVERAL)).reshape(2, 8, 7)
    flat = SEVERAL.reshape(2, 8)
    for j in range(8):
        after = model(flat.at[:, j].set((flat[:, j] + 1) % 7).reshape(SEVERAL.shape)).reshape(2, 8, 7)
        np.testing.assert_array_equal(after[:, : j + 1], before[:, : j + 1])
        assert j == 7 or (jnp.abs(after[:, j + 1] - before[:, j + 1]).max(axis=1) > 1e-3).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_probabilities_of_several_codes_sum_to_one(layout):
    model = make(num_codes=3, grid=(1, 2), scale=20.0, num_quantizers=2, **layout)
    every = jnp.stack(jnp.meshgrid(*[jnp.arange(3)] * 4), -1).reshape(-1, 2, 2)
    assert jnp.exp(-token_nats(model, every).sum(axis=(1, 2))).sum() == pytest.approx(1, abs=1e-5)


def test_blocks_are_computed_again_where_they_would_keep_too_much(monkeypatch):
    def is_looped(**sizes):
        model = make(**sizes)
        return "scan" in str(jax.make_jaxpr(lambda tokens: model(tokens))(TOKENS))

    assert not is_looped()
    assert is_looped(rematerialize=True)
    monkeypatch.setattr(module, "_MOST_KEPT", 0)
    assert is_looped()
    assert not is_looped(rematerialize=False)


def test_computing_again_changes_neither_the_loss_nor_its_gradient():
    def of(model):
        graphdef, params = nnx.split(model)

        def objective(params):
            return loss(nnx.merge(graphdef, params), TOKENS, LABELS, key=jax.random.key(0))

        return jax.value_and_grad(objective)(params)

    kept, again = (of(make(3, scale=5.0, rematerialize=flag)) for flag in (False, True))
    for one, other in zip(*map(jax.tree.leaves, (kept, again)), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-5)


def test_half_precision_is_near_and_trains_weights_in_float32():
    exact, half = make(3, scale=10.0), make(3, scale=10.0, bfloat16=True)
    logits = half(TOKENS, LABELS)
    assert logits.dtype == jnp.float32
    error = np.abs(logits - exact(TOKENS, LABELS)).max()
    assert 0 < error < 0.02 * np.abs(logits).max()
    graphdef, params = nnx.split(half)
    gradients = jax.grad(lambda params: loss(nnx.merge(graphdef, params), TOKENS, LABELS))(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradients)} == {jnp.dtype("float32")}


def test_rows_and_columns_of_a_grid():
    """Position 4 of a grid (2, 3) is row 1, column 1."""
    model = make(grid=(2, 3), scale=20.0)
    tokens = jnp.array([[0, 1, 2, 3, 4, 5]])
    params = jax.tree.map(np.float64, nnx.to_pure_dict(nnx.state(model)))
    np.testing.assert_allclose(
        model(tokens)[0], reference.gpt_logits(params, 2, np.asarray(tokens[0])), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(model.positions()[4], model.rows[...][1] + model.columns[...][1])


def test_dropped_labels_are_those_of_no_class():
    config = make(3, class_dropout=0.25).config
    labels = jnp.tile(LABELS, 2000)
    found = np.asarray(drop_labels(labels, config, jax.random.key(0)))
    dropped = found == 3
    assert dropped.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(found[~dropped], labels[~dropped])
    np.testing.assert_array_equal(drop_labels(labels, make(3).config, jax.random.key(0)), labels)


def test_no_class_is_a_class_of_its_own():
    model = make(3, scale=20.0)
    by_class = [model(TOKENS, jnp.full(3, label))[:, 0] for label in range(4)]
    assert jnp.abs(by_class[3] - by_class[0]).max() > 1e-3
    params = jax.tree.map(np.float64, nnx.to_pure_dict(nnx.state(model)))
    expected = reference.gpt_logits(params, 2, np.asarray(TOKENS[0]), 3)[0]
    np.testing.assert_allclose(by_class[3][0], expected, rtol=1e-4, atol=1e-4)


def test_no_gradient_from_the_future(monkeypatch):
    model = make(scale=20.0)
    rows = model.embed(TOKENS[0], 0)

    def logits_of(rows):
        monkeypatch.setattr(GPT, "embed", lambda model, codes, quantizer: rows)
        return model(TOKENS[:1])[0]

    jacobian = jax.jacobian(logits_of)(rows)  # (t, K, t, width)
    reach = jnp.abs(jacobian).max(axis=(1, 3))
    for i in range(5):
        for j in range(5):
            assert (reach[i, j] > 0) == (j < i), (i, j)


def test_future_tokens_change_nothing_before_them():
    model = make(scale=20.0)
    before = model(TOKENS)
    for j in range(5):
        after = model(TOKENS.at[:, j].set((TOKENS[:, j] + 1) % 7))
        np.testing.assert_array_equal(after[:, : j + 1], before[:, : j + 1])
        assert j == 4 or (jnp.abs(after[:, j + 1] - before[:, j + 1]).max(axis=1) > 1e-3).all()


def test_first_token_depends_on_class_alone():
    first = make(3, scale=20.0)(TOKENS, jnp.array([1, 1, 2]))[:, 0]
    np.testing.assert_array_equal(first[0], first[1])
    assert jnp.abs(first[0] - first[2]).max() > 1e-3


def test_probabilities_sum_to_one_over_all_sequences():
    model = make(num_codes=3, length=3, scale=20.0)
    every = jnp.stack(jnp.meshgrid(*[jnp.arange(3)] * 3), -1).reshape(-1, 3)
    assert jnp.exp(-token_nats(model, every).sum(1)).sum() == pytest.approx(1, abs=1e-5)


def test_uniform_logits_cost_log_k():
    assert loss(make(scale=0.0), TOKENS) == pytest.approx(np.log(7), abs=1e-6)
    assert loss(make(scale=0.0), TOKENS, label_smoothing=0.3) == pytest.approx(np.log(7), abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_equals_reference(smoothing):
    logits = 3 * jax.random.normal(jax.random.key(0), (3, 5, 7))
    expected = [
        [reference.smoothed_cross_entropy(np.float64(logits[i, j]), TOKENS[i, j], smoothing) for j in range(5)]
        for i in range(3)
    ]
    np.testing.assert_allclose(cross_entropy(logits, TOKENS, smoothing), expected, rtol=1e-5)


def test_loss_is_the_mean_of_token_nats():
    model = make(3, scale=20.0)
    assert loss(model, TOKENS, LABELS) == pytest.approx(float(token_nats(model, TOKENS, LABELS).mean()), rel=1e-6)


def test_images_do_not_influence_each_other():
    model = make(scale=20.0)
    alone = jnp.concatenate([model(row[None]) for row in TOKENS])
    np.testing.assert_allclose(model(TOKENS), alone, rtol=1e-5, atol=1e-5)


def test_dropout_follows_the_key():
    model = make(scale=20.0)
    one, same, other = (model(TOKENS, key=jax.random.key(i)) for i in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert jnp.abs(one - other).max() > 1e-3
    np.testing.assert_array_equal(model(TOKENS), model(TOKENS))
    still = make(scale=20.0, dropout=0.0)
    np.testing.assert_array_equal(still(TOKENS, key=jax.random.key(1)), still(TOKENS))


def test_initial_weights():
    model = make(width=64, layers=8, num_codes=50)
    assert float(model.codes[...].std()) == pytest.approx(0.02, rel=0.1)
    assert float(model.blocks[0].query_key_value.kernel[...].std()) == pytest.approx(0.02, rel=0.1)
    assert float(model.blocks[7].down.kernel[...].std()) == pytest.approx(0.02 / 4, rel=0.1)
    assert loss(model, TOKENS) == pytest.approx(np.log(50), abs=0.1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_learns_sequences_by_heart(smoothing):
    graphdef, params = nnx.split(make(3, width=16))
    optimizer = optax.adamw(1e-2)

    def objective(params, key):
        return loss(nnx.merge(graphdef, params), TOKENS, LABELS, key=key, label_smoothing=smoothing)

    @jax.jit
    def step(params, state, key):
        updates, state = optimizer.update(jax.grad(objective)(params, key), state, params)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for i in range(100):
        params, state = step(params, state, jax.random.fold_in(jax.random.key(0), i))
    assert loss(nnx.merge(graphdef, params), TOKENS, LABELS) < 0.25


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_refuses_smoothing_out_of_range(smoothing):
    with pytest.raises(InputError, match=r"label_smoothing: expected a number in \[0, 1\)"):
        loss(make(), TOKENS, label_smoothing=smoothing)


def test_holds_parameters_alone_and_works_as_a_tree():
    model = make(3)
    assert all(isinstance(leaf, nnx.Param) for _, leaf in nnx.to_flat_state(nnx.state(model)))
    gradients = nnx.grad(loss, graph=False)(model, TOKENS, LABELS, key=jax.random.key(0))
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_codes": 0}, "at least 1"),
        ({"layers": 0}, "at least 1"),
        ({"classes": -1}, "classes: expected a whole number of at least 0"),
        ({"width": 8.0}, "width: expected a whole number of at least 1"),
        ({"grid": (5,)}, r"a grid \(h, w\) of tokens, found \(5,\)"),
        ({"grid": (1, 5, 1)}, r"a grid \(h, w\) of tokens"),
        ({"grid": (0, 5)}, "grid: expected a whole number of at least 1, found 0"),
        ({"width": 9}, "choose 8"),
        ({"dropout": 1.0}, r"\[0, 1\)"),
        ({"classes": 3, "class_dropout": -0.1}, r"class_dropout in \[0, 1\)"),
        ({"classes": 0, "class_dropout": 0.1}, "no class_dropout without classes"),
        ({"width": 12, "rotary": True}, "a multiple of 4 channels for rotary positions, found 6"),
        ({"num_quantizers": 0}, "num_quantizers: expected a whole number of at least 1, found 0"),
        ({"code_layout": "depth"}, "code_layout: expected one of sequence, heads, found 'depth'"),
    ],
)
def test_refuses_sizes(sizes, message):
    with pytest.raises(InputError, match=message):
        make(**sizes)


@pytest.mark.parametrize(
    ("classes", "tokens", "labels", "message"),
    [
        (0, TOKENS[:, :4], None, r"\(n, 5\)"),
        (0, TOKENS[None], None, r"\(n, 5\)"),
        (0, TOKENS, LABELS, "no classes"),
        (3, TOKENS, None, r"classes 0\.\.2"),
        (3, TOKENS, LABELS[:2], r"\(3,\)"),
    ],
)
def test_refuses_shapes(classes, tokens, labels, message):
    with pytest.raises(InputError, match=message):
        make(classes)(tokens, labels)
