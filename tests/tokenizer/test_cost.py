"""Costs: passes that a counting decoder makes, bytes of compiled code, and seconds."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from geovq.assignment.base import Assigner, Codebook, Inputs
from geovq.assignment.greedy import Greedy
from geovq.assignment.joint import Joint
from geovq.assignment.local import Local
from geovq.assignment.whitened import Whitened
from geovq.batching.memory import decoder_memory
from geovq.batching.plan import Plan
from geovq.decoder.adapters import as_partial, single
from geovq.tokenizer.cost import Cost
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import InputError

COUNTS: collections.Counter[str] = collections.Counter()
WEIGHTS = np.random.default_rng(0).standard_normal((8, 16)).astype(np.float32)
CODEBOOK = Codebook(
    np.random.default_rng(1).standard_normal((1, 6, 2)).astype(np.float32),
    np.broadcast_to(np.eye(2, dtype=np.float32), (2, 2, 2, 2)),
)

counted = Primitive("counted")
"""The identity, which counts how often it is computed, pushed forward and pulled back."""


def _count(x, *, kind, times):
    jax.debug.callback(lambda _: COUNTS.update({kind: times}), x.ravel()[0])
    return x


def _push(primals, tangents, *, kind, times):
    return counted.bind(*primals, kind=kind, times=times), counted.bind(*tangents, kind="tangent", times=times)


def _batch(arguments, axes, *, kind, times):
    return counted.bind(*arguments, kind=kind, times=times * arguments[0].shape[axes[0]]), axes[0]


counted.def_abstract_eval(lambda x, **_: x)
counted.def_impl(jax.jit(_count, static_argnames=("kind", "times")))
mlir.register_lowering(counted, mlir.lower_fun(_count, multiple_results=False))
ad.primitive_jvps[counted] = _push
ad.primitive_transposes[counted] = lambda ct, _, *, kind, times: [counted.bind(ct, kind="cotangent", times=times)]
batching.primitive_batchers[counted] = _batch


def encode(images):
    return images.reshape(-1, 16)[:, :8].reshape(-1, 2, 2, 2)


def decode(latents):
    return jnp.tanh(latents.reshape(-1, 8) @ WEIGHTS / 3).reshape(-1, 4, 4, 1)


def counting(latent):
    return decode(counted.bind(latent, kind="decode", times=1)[None])[0]


@pytest.mark.parametrize(
    "assigner",
    [
        Whitened(),
        Local(),
        Local(probes=3),
        Joint(),
        Joint(jacobians=1, corrections=1, directions=4),
        Joint(jacobians=1, corrections=1, radius=1),
        Joint(jacobians=1, corrections=0, probes=5, dampings=(0.1,)),
        Greedy(candidates=3, initial=Whitened()),
    ],
)
def test_passes_are_those_of_a_counting_decoder(assigner: Assigner):
    images = np.random.default_rng(2).uniform(size=(1, 4, 4, 1)).astype(np.float32)
    inputs = Inputs(encode(images), images)
    assigner(as_partial(counting), CODEBOOK, inputs, plan=Plan())  # checks of the decoder are made once
    jax.effects_barrier()
    COUNTS.clear()
    assigner(as_partial(counting), CODEBOOK, inputs, plan=Plan())
    jax.effects_barrier()
    passes = assigner.passes((2, 2, 2), CODEBOOK)
    assert (COUNTS["decode"], COUNTS["tangent"], COUNTS["cotangent"]) == passes[:3]


def test_of_a_tokenizer():
    tokenizer = Tokenizer(encode, decode, CODEBOOK, assigner=Joint(), image_shape=(4, 4, 1))
    cost = tokenizer.cost()
    assert cost[:2] == (1 + 2 * (2 + 8 + 4 * 4 + 3), 2 * 2 * (1 + 3))
    assert cost.seconds > 0
    memory = decoder_memory(single(decode), (2, 2, 2))
    assert memory is not None
    assert cost.memory > memory.parameters + 8 * memory.image
    free = tokenizer.replace(assigner=Whitened()).cost((4, 4, 1))
    assert free[:2] == (0, 0)
    assert 0 < free.memory < cost.memory
    assert free.seconds > 0


def test_a_plan_bounds_the_bytes():
    tokenizer = Tokenizer(encode, decode, CODEBOOK, assigner=Local(), image_shape=(4, 4, 1))
    cost = tokenizer.cost()
    assert isinstance(cost, Cost)
    less = tokenizer.cost(plan=Plan(memory=cost.memory - 100))
    assert cost.memory - 200 <= less.memory <= cost.memory - 100
    assert less[:2] == cost[:2]


def test_what_does_not_fit_and_other_shapes_are_refused():
    tokenizer = Tokenizer(encode, decode, CODEBOOK, assigner=Joint(), image_shape=(4, 4, 1))
    for shape, message in (
        ((4, 4), r"image_shape: expected three whole numbers such as \(H, W, C\), found \(4, 4\)"),
        ((4, 4, 0), "image_shape: expected a whole number in 1..65536, found 0"),
        ((8, 8, 1), r"image_shape: expected shape \(4, 4, 1\), the only one that this VAE takes, found \(8, 8, 1\)"),
    ):
        with pytest.raises(InputError, match=message):
            tokenizer.cost(shape)
    with pytest.raises(InputError, match="plan: expected at least"):
        tokenizer.cost(plan=Plan(memory=200))
