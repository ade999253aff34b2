"""What makes a decoder unfit: rows that depend on one another, derivatives that vanish; by hand, one cause at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from geovq.decoder.adapters import as_partial, single
from geovq.decoder.checks import check_changes, check_decoder, check_rows_apart, describe
from geovq.validation import InputError

ROWS = np.array([[1, 2], [3, 5], [0, 7]], np.float32)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("rows", [ROWS, np.zeros_like(ROWS), np.ones_like(ROWS)])
def test_functions_of_each_row_are_accepted(n, rows):
    for function in (jnp.asarray, lambda x: {"image": x[:, :1] + 1, "mask": x**2}, lambda x: jnp.zeros(len(x))):
        check_rows_apart("decoder", function, rows[:n])


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("rows", [ROWS, np.zeros_like(ROWS), np.ones_like(ROWS)])
def test_batch_statistics_are_seen_whatever_the_rows(n, rows):
    """Also for one row, and for rows that are all alike."""
    for function in (lambda x: x - x.mean(axis=0, keepdims=True), lambda x: x[::-1]):
        with pytest.raises(InputError, match="decoder: expected the same result for a row alone as in a batch"):
            check_rows_apart("decoder", function, rows[:n])


def test_rounding_is_no_dependence():
    """A sum over the batch of a thousandth of the values is what accelerators do; of a tenth it is not."""
    check_rows_apart("decoder", lambda x: x + 1e-4 * x.mean(), ROWS)
    with pytest.raises(InputError, match="row alone"):
        check_rows_apart("decoder", lambda x: x + 0.1 * x.mean(), ROWS)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.sum(axis=0), "expected one result for each row"),
        (lambda x: x.ravel(), "expected one result for each row"),
        (lambda x: jnp.round(x).astype(int), "expected floats, found int32; return them before rounding"),
        (
            lambda x: x @ jnp.ones((3, 1)),
            "expected a function of batches of any size, found that it fails with TypeError",
        ),
        (lambda x: x.reshape(1, 2), "expected a function of batches of any size"),
    ],
)
def test_what_gives_no_row_for_a_row_is_refused(function, message):
    with pytest.raises(InputError, match=f"encode: {message}"):
        check_rows_apart("encode", function, ROWS)


def test_derivatives_that_vanish_though_the_image_changes():
    steps, zeros = as_partial(jnp.floor), np.zeros((3, 2, 2))
    with pytest.raises(InputError, match=r"expected derivatives, found that all vanish.*remove rounding"):
        check_changes(steps, ROWS, zeros)
    check_changes(as_partial(lambda z: 0 * z), ROWS, zeros)  # it never changes
    check_changes(steps, ROWS[:1], zeros)  # one latent does not tell
    check_changes(steps, ROWS, np.eye(2))  # some derivative does not vanish


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (lambda z: np.asarray(z), "one latent \\(2,\\) that JAX can trace, found TracerArrayConversionError"),
        (lambda z: jnp.round(z).astype(jnp.int32), "expected intensities as floats, found int32"),
        (lambda z: {"a": z[:0], "b": z[:0]}, "expected at least one intensity, found an empty output"),
        (lambda z: jax.pure_callback(np.sin, z, z), "that JAX can differentiate"),
    ],
)
def test_decoders_without_a_metric_are_refused(decode, message):
    for _ in range(2):  # a refusal is not remembered as a success
        with pytest.raises(InputError, match=f"decoder: .*{message}"):
            check_decoder(as_partial(decode), ROWS)


def test_a_decoder_is_traced_once_for_all_its_parameters():
    traces = []

    def decode(weights, z):
        traces.append(z.shape)
        return weights * z

    for scale in (1.0, 2.0):
        check_decoder(jax.tree_util.Partial(decode, jnp.float32(scale)), ROWS)
        found = len(traces)
    assert len(traces) == found > 0
    check_decoder(jax.tree_util.Partial(decode, jnp.float32(1)), ROWS[:, :1])
    assert len(traces) > found


def test_the_batch_inside_a_decoder_of_one_latent_is_looked_into():
    check_decoder(single(lambda z: 2 * z), ROWS)
    with pytest.raises(InputError, match="row alone as in a batch"):
        check_decoder(single(lambda z: z - z.mean()), ROWS)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (KeyError("x"), "KeyError: 'x'"),
        (TypeError("\n  late\n"), "TypeError: late"),
        (RuntimeError(), "RuntimeError: no message"),
    ],
)
def test_errors_are_described_in_a_line(error, wanted):
    assert describe(error) == wanted
