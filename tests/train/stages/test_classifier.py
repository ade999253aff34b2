"""The classifier: shapes, images by themselves, and what augmentation may do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from geovq.validation import InputError
from tests.runs import run_of, succeed
from train.data.datasets import load
from train.evaluation.judge import Judge
from train.stages.classifier_network import FEATURES, Classifier, ClassifierConfig, augment
from train.stages.networks import trained_classifier


@pytest.fixture(scope="module")
def classifier():
    return Classifier(ClassifierConfig(1, 10, 8), rngs=nnx.Rngs(0))


def test_features_and_logits_of_an_image_do_not_depend_on_the_batch(classifier, rng):
    images = jnp.asarray(rng.uniform(size=(5, 28, 28, 1)), jnp.float32)
    assert classifier.features(images).shape == (5, FEATURES)
    assert classifier(images).shape == (5, 10)
    np.testing.assert_allclose(classifier(images[2:3]), classifier(images)[2:3], atol=1e-5)
    assert np.abs(classifier(images, key=jax.random.key(1)) - classifier(images)).max() > 1e-3  # dropout


@pytest.mark.parametrize("mirror", [True, False])
def test_augmented_images_are_moved_and_mirrored(mirror):
    """One white pixel left of the middle: it may move by the shift, and to the right side only if mirrored."""
    images = jnp.zeros((200, 11, 11, 1)).at[:, 5, 3].set(1)
    found = np.asarray(augment(images, jax.random.key(0), shift=1, mirror=mirror))
    assert found.shape == images.shape
    np.testing.assert_array_equal(found.sum(axis=(1, 2, 3)), 1)
    pixels = {tuple(int(i) for i in index[1:3]) for index in np.argwhere(found)}
    left = {(row, column) for row in (4, 5, 6) for column in (2, 3, 4)}
    assert pixels == (left | {(row, 10 - column) for row, column in left} if mirror else left)


def test_nothing_is_augmented_where_nothing_may_change(rng):
    images = jnp.asarray(rng.uniform(size=(3, 8, 8, 2)))
    np.testing.assert_array_equal(augment(images, jax.random.key(0), shift=0, mirror=False), images)


@pytest.mark.slow
def test_a_classifier_learns_and_says_how_well(tmp_path):
    printed = succeed("classifier", tmp_path, "--preset", "demo", "--classifier.epochs", "4")
    run = run_of(tmp_path)
    classifier, accuracy = trained_classifier(run, (28, 28, 1))
    assert f"{accuracy:.2%}" in printed
    data = load("digits")
    images = jnp.asarray(data.test_images, jnp.float32) / 255
    found = np.asarray(classifier(images)).argmax(axis=1)
    np.testing.assert_allclose((found == data.test_labels).mean(), accuracy)
    assert accuracy > 0.8
    assert classifier.features(images[:3]).shape == (3, 128)

    judge = Judge.of(run)
    assert (judge.accuracy, judge.classes) == (accuracy, 10)
    np.testing.assert_array_equal(judge.test.classes, found)
    np.testing.assert_allclose(judge.test.features[:3], classifier.features(images[:3]), rtol=1e-4, atol=1e-4)
    nearest = judge.train.features[judge.nearest.indices[:5]]
    apart = np.linalg.norm(judge.test.features[:5] - nearest, axis=1)
    np.testing.assert_allclose(judge.nearest.distances[:5], apart, rtol=1e-3)

    path = tmp_path / "classifier/accuracy.json"
    path.write_text(path.read_text().replace(str(accuracy), "1.0"))
    with pytest.raises(InputError, match="expected the accuracy that was measured, found another"):
        trained_classifier(run, (28, 28, 1))
