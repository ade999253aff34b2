"""The classifier: shapes, images by themselves, and what augmentation may do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.stages.classifier import FEATURES, Classifier, augmented


@pytest.fixture(scope="module")
def classifier():
    return Classifier(1, 10, 8, jax.random.key(0))


def test_features_and_logits_of_an_image_do_not_depend_on_the_batch(classifier, rng):
    images = rng.uniform(size=(5, 28, 28, 1)).astype(np.float32)
    assert classifier.features(images).shape == (5, FEATURES)
    assert classifier(images).shape == (5, 10)
    np.testing.assert_allclose(classifier(images[2:3]), classifier(images)[2:3], atol=1e-5)
    assert np.abs(classifier(images, key=jax.random.key(1)) - classifier(images)).max() > 1e-3  # dropout


@pytest.mark.parametrize("mirror", [True, False])
def test_augmented_images_are_moved_and_mirrored(mirror):
    """One white pixel left of the middle: it may move by the shift, and to the right side only if mirrored."""
    images = jnp.zeros((200, 11, 11, 1)).at[:, 5, 3].set(1)
    found = np.asarray(augmented(images, jax.random.key(0), shift=1, mirror=mirror))
    assert found.shape == images.shape
    np.testing.assert_array_equal(found.sum(axis=(1, 2, 3)), 1)
    places = {tuple(int(i) for i in place[1:3]) for place in np.argwhere(found)}
    left = {(row, column) for row in (4, 5, 6) for column in (2, 3, 4)}
    assert places == (left | {(row, 10 - column) for row, column in left} if mirror else left)


def test_nothing_is_augmented_where_nothing_may_change(rng):
    images = jnp.asarray(rng.uniform(size=(3, 8, 8, 2)))
    np.testing.assert_array_equal(augmented(images, jax.random.key(0), shift=0, mirror=False), images)
