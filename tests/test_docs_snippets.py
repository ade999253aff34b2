"""The python blocks of README and docs run, in their order, in a folder that holds the files that they read.

Autoencoders in it are tiny and random, photographs are small, and the numbers of a page are made smaller: all that is tested is
that what a page says can be run. A block with PyTorch uses no name of another block, and is skipped where torch is not installed.
"""

import importlib.util
import pathlib
import re
import sys
import warnings

import numpy as np
import PIL.Image
import pytest
from flax import nnx

from geovq.corpus.token_files import Header
from geovq.corpus.token_shards import Shard, begin, finish, write_shard
from geovq.decoder.conventions.adaptation import ConventionWarning
from geovq.models.config import AutoencoderKLConfig
from geovq.models.tiny_autoencoder import TinyAutoencoder
from geovq.models.torch_tensors import tensors_of
from tests.models.autoencoders import PUBLISHED, random_model, write_original

ROOT = pathlib.Path(__file__).parents[1]

PAGES = [
    "README.md",
    "docs/autoencoders.md",
    "docs/conventions.md",
    "docs/corpus.md",
    "docs/large.md",
    "docs/medoids.md",
    "docs/metrics.md",
    "docs/transformer.md",
]

SMALLER = {
    "README.md": {"[:200, ": "[:20, ", "num_codes=64": "num_codes=8", "max_images=20": "max_images=4"},
    "docs/large.md": {
        '"photographs", 256, 200': '"photographs", 16, 4',
        "num_codes=512": "num_codes=8",
        "(512, 768, 3)": "(16, 24, 3)",
    },
    "docs/medoids.md": {"size=(500, 2)": "size=(100, 2)"},
    "docs/metrics.md": {"width=8": "width=4", "[:8, ": "[:2, "},
    "docs/transformer.md": {"layers=2, width=64": "layers=1, width=16", "range(20)": "range(2)"},
    "docs/autoencoders.md": {
        '"photographs", 64, 1000': '"photographs", 16, 8',
        "num_codes=512": "num_codes=8",
        "num_codes=64": "num_codes=4",
        "max_images=50, probes=16": "max_images=2, probes=2",
    },
}
"""What is replaced in the blocks of a page, and by what."""

MODULES = {
    "my_functions": """
import jax.numpy as jnp

def encode(images):  # patches of 8x8 pixels -> their mean colour
    n, c, H, W = images.shape
    means = images.reshape(n, c, H // 8, 8, W // 8, 8).mean(axis=(3, 5))
    return means, jnp.zeros_like(means)

def decode(latents):
    return jnp.repeat(jnp.repeat(latents, 8, axis=2), 8, axis=3)
""",
    "my_vqvae": """
import jax.numpy as jnp
import numpy as np

codes = np.random.default_rng(0).uniform(size=(16, 3)).astype(np.float32)

def encode(images):
    n, H, W, c = images.shape
    return jnp.asarray(images).reshape(n, H // 8, 8, W // 8, 8, c).mean(axis=(2, 4))

def decode(latents):
    return jnp.repeat(jnp.repeat(latents, 8, axis=1), 8, axis=2)
""",
}
"""Modules of a user's own, by name."""


def blocks(page, *, with_torch):
    """The python blocks of a page that need PyTorch, or those that do not."""
    text = (ROOT / page).read_text()
    matches = re.finditer(r"```python\n(.*?)```", text, flags=re.DOTALL)
    found = ["\n" * text.count("\n", 0, block.start(1)) + block[1] for block in matches]  # errors name the page's lines
    for words, fewer in SMALLER.get(page, {}).items():
        assert any(words in block for block in found), f"{page}: no block says {words}"
        found = [block.replace(words, fewer) for block in found]
    return [block for block in found if ("from_torch(" in block) == with_torch]


def write_photographs(folder):
    """Photographs of several sizes, smooth in both directions."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate([(40, 48), (48, 40), (17, 29)]):
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
        coarse.resize((width, height), PIL.Image.Resampling.BICUBIC).save(folder / f"{i}.png")


def write_autoencoders(folder):
    """A TAESD in the author's two files, and the folder of an AutoencoderKL."""
    write_original(folder / "autoencoders", "taesd", tensors_of(TinyAutoencoder(PUBLISHED, rngs=nnx.Rngs(0))))
    config = AutoencoderKLConfig(block_out_channels=(4, 4, 4, 4), layers_per_block=1, norm_num_groups=2)
    random_model(config).save_pretrained(folder / "stable-diffusion/vae")


def write_tokens(folder):
    """The tokens of one photograph of 512x768 pixels."""
    header = Header("tokenizer", "Whitened()", 8, 1, "images", 1)
    begin(folder, header)
    write_shard(folder, 0, header, Shard(["0.png"], [np.zeros((64, 96), np.int32)], [(512, 768)], [None], []))
    finish(folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with all that the pages read."""
    folder = tmp_path_factory.mktemp("user")
    write_photographs(folder / "photographs")
    write_autoencoders(folder)
    write_tokens(folder / "tokens")
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(source)
    return folder


@pytest.fixture
def names(files, monkeypatch):
    """An empty namespace; the working folder and the path of modules are those of a user."""
    monkeypatch.chdir(files)
    monkeypatch.syspath_prepend(files)
    yield {}
    for name in MODULES:
        sys.modules.pop(name, None)


def run(blocks, page, names):
    """Runs blocks one after the other; random autoencoders are warned of, and need not be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConventionWarning)
        for block in blocks:
            exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks_run(page, names):
    found = blocks(page, with_torch=False)
    assert found
    run(found, page, names)
    if page == "README.md":  # what its comments say
        assert names["tokens"].shape == (20, 4, 4)
        assert names["restored"].shape == (20, 8, 8, 1)


def test_blocks_with_torch_run(names):
    if importlib.util.find_spec("torchax") is None:
        pytest.skip("torchax is not installed; pip install 'geovq[torch]'")
    page = "docs/autoencoders.md"
    found = blocks(page, with_torch=True)
    assert found
    run(found, page, names)
    assert names["tokens"].ndim == 3


def test_messages_of_the_page_are_those_of_the_code():
    """The first column of the table of refusals; strings that the code folds into several lines are joined."""
    section = (ROOT / "docs/autoencoders.md").read_text().split("## When GeoVQ refuses")[1]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    messages = [message for row in rows for message in re.findall(r"`(expected [^`]*|[^`]* [^`]*)`", row)]
    assert len(messages) > 12
    code = "".join(path.read_text() for path in (ROOT / "geovq").rglob("*.py"))
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    assert [message for message in messages if message not in code] == []
