"""How close the band of JᵀJ is to the dense one, and what tokens lose that are chosen on it."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from benchmarks.common.harness import Cell
from benchmarks.common.rows import Row, mean_row, row, statistic_row
from benchmarks.large.inputs import Setting
from benchmarks.tokenizer.systems import SIZES, Tokenizers
from geovq.assignment.joint import Joint
from geovq.decoder.adapters import single
from geovq.decoder.autoencoder import encode_images
from geovq.metric.band import Lattice, band_of_windows, cut_windows, lattice_tangents, make_lattice, neighbour_indices
from geovq.scores.reconstruction import psnr
from geovq.storage.bits import digest
from geovq.tokenizer.file import describe_assigner
from geovq.tokenizer.tokenizer import Tokenizer
from geovq.validation import check_images

DENSE = Joint(radius=None)
ON_BANDS = {
    "radius 1": Joint(radius=1),
    "radius 1, spacing 5": Joint(radius=1, spacing=5),
    "radius 2": Joint(radius=2),
}
ON_SMALL_GRIDS = {"radius 3": Joint(radius=3)}

_FASHION_CODES = 512


def band(setting: Setting, data_dir: str | None, study: pathlib.Path) -> list[Row]:
    """Rows of the blocks, and of the tokens of photographs and of FashionMNIST.

    Args:
        setting: Folders and schedule.
        data_dir: Folder of FashionMNIST; without it that part is left out.
        study: Run folder of benchmarks.tokenizer, whose VAE is trained there unless it has one.
    """
    size, seed = setting.schedule.band, setting.schedule.seeds[0]
    images = check_images(setting.scored_crops(size.side, size.photographs))
    fields: Row = {"case": "band", "autoencoder": size.coding.autoencoder, "side": size.side}
    rows = _blocks(setting, images, fields)
    tokenizer = setting.tokenizer(size.coding, None, seed)
    said = fields | {"case": "joint on the band", "codes": size.coding.num_codes}
    rows += _compared(setting, tokenizer, images, ON_BANDS, said, f"joint/{size.coding.name}-{size.side}")
    if data_dir is None:
        print("band: FashionMNIST is left out; give --data-dir", flush=True)
        return rows
    return rows + _fashion(setting, data_dir, study)


def _blocks(setting: Setting, images: np.ndarray, fields: Row) -> list[Row]:
    """Relative errors of the blocks of every lattice, over all images together."""
    size = setting.schedule.band
    encode, decode = setting.vae(size.coding.autoencoder)

    def compute() -> Cell:
        latents, rows = encode_images(encode, images), []
        measure = jax.jit(functools.partial(squares, lattices_of(latents.shape[1:], size.radii, size.spacings)))
        found = np.stack([measure(single(decode), latent) for latent in latents], axis=1)  # (lattices, images, 3)
        for lattice, (wrong, inside, whole) in zip(
            lattices_of(latents.shape[1:], size.radii, size.spacings), np.moveaxis(found, 2, 1), strict=True
        ):
            said = fields | {"radius": lattice.radius, "spacing": lattice.spacing, "products": lattice.products}
            rows.append(statistic_row(said, "relative_error", _relative, wrong, inside))
            rows.append(statistic_row(said, "outside", _relative, whole - inside, whole))
            rows.append(row(said, "worst_image", float(np.sqrt(wrong / inside).max()), len(images)))
        return rows, {}

    name = f"band/{size.coding.autoencoder}-{size.side}"
    made_from = {"images": digest({"images": images}), "radii": list(size.radii), "spacings": list(size.spacings)}
    return setting.cell(name, made_from, compute)[0]


def _relative(part: np.ndarray, whole: np.ndarray) -> float:
    return float(np.sqrt(part.sum() / whole.sum()))


def lattices_of(grid: tuple[int, int, int], radii: tuple[int, ...], spacings: tuple[int, ...]) -> list[Lattice]:
    """All lattices of these radii and spacings that there are."""
    return [
        make_lattice(grid, radius=radius, spacing=spacing)
        for radius in radii
        for spacing in spacings
        if spacing > radius
    ]


def squares(lattices: list[Lattice], decode: Partial, latent: Float[Array, "h w d"]) -> Float[Array, "lattices 3"]:
    """Squared Frobenius norms of each lattice: what is wrong in its blocks, its blocks in the dense JᵀJ, and all of that.

    The products of a lattice are sums of columns of the dense Jacobian, which is computed once.
    """
    h, w, d = latent.shape
    _, push = jax.linearize(decode, latent)
    jacobian = jax.lax.map(push, jnp.eye(latent.size, dtype=latent.dtype).reshape(-1, h, w, d), batch_size=64)
    shape = jacobian.shape[1:]
    flat = jacobian.reshape(latent.size, -1)
    dense = jnp.matmul(flat, flat.T, precision="highest").reshape(h * w, d, h * w, d)

    def of_lattice(lattice: Lattice) -> Array:
        numbers = jnp.arange(lattice.products)
        moves = lattice_tangents(lattice, numbers, latent.dtype).reshape(len(numbers), -1)
        responses = jnp.matmul(moves, flat, precision="highest").reshape(-1, *shape)
        windows = jax.vmap(functools.partial(cut_windows, lattice))(responses, numbers)
        blocks = band_of_windows(lattice, windows).reshape(h * w, -1, d, d)
        neighbours = neighbour_indices(lattice)  # (t, b)
        padded = jnp.pad(dense, ((0, 0), (0, 0), (0, 1), (0, 0)))
        exact = jax.vmap(lambda rows, at: rows[:, at].swapaxes(0, 1))(padded, jnp.asarray(neighbours))
        return jnp.stack([jnp.sum((blocks - exact) ** 2), jnp.sum(exact**2), jnp.sum(dense**2)])

    return jnp.stack([of_lattice(lattice) for lattice in lattices])


def _compared(
    setting: Setting, tokenizer: Tokenizer, images: np.ndarray, bands: dict[str, Joint], fields: Row, name: str
) -> list[Row]:
    """PSNR of tokens that are chosen on bands and on the dense JᵀJ, from the same start, image by image."""
    start, codes = tokenizer.encode(images), digest({"codes": tokenizer.codebook.codes})

    def found(label: str, assigner: Joint) -> np.ndarray:
        def compute() -> Cell:
            tokens = tokenizer.replace(assigner=assigner).encode(images, start=start)
            return [], {"psnr": psnr(images, tokenizer.decode(tokens))}

        made_from = {"images": digest({"images": images}), "codes": codes, "assign": describe_assigner(assigner)}
        return setting.cell(f"{name}-{label.replace(', ', '-').replace(' ', '-')}", made_from, compute)[1]["psnr"]

    dense, whitened = found("dense", DENSE), psnr(images, tokenizer.decode(start))
    rows = [
        mean_row(fields | {"assign": "whitened"}, "psnr", whitened),
        mean_row(fields | {"assign": "dense"}, "psnr", dense),
    ]
    for label, assigner in bands.items():
        ours = found(label, assigner)
        said = fields | {"assign": label}
        rows += [mean_row(said, "psnr", ours), mean_row(said | {"peer": "dense"}, "psnr_difference", ours - dense)]
        print(f"{name}: {label} differs by {np.mean(ours - dense):.3f} dB from the dense one", flush=True)
    return rows


def _fashion(setting: Setting, data_dir: str, study: pathlib.Path) -> list[Row]:
    """The 4x4 grids of the VAE of benchmarks.tokenizer."""
    from geovq.models.spatial_vae import callables
    from train.stages import inputs, networks

    smoke = setting.schedule.crops < 100
    seed = setting.schedule.seeds[0]
    run = Tokenizers(study, data_dir, SIZES["smoke" if smoke else "reduced"], ()).vae(seed)
    dataset = inputs.images(run.config.data).dataset
    vae = callables(networks.trained_vae(run, dataset.train_images.shape[1:]))
    path = setting.run / "codebooks" / f"fashion-{seed}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        codes = 16 if smoke else _FASHION_CODES
        from geovq.assignment.whitened import Whitened

        Tokenizer.fit(*vae, dataset.train_images, num_codes=codes, assigner=Whitened(), seed=seed).save(path)
    tokenizer = Tokenizer.load(path, *vae)
    images = check_images(dataset.test_images[: setting.schedule.band.fashion])
    fields: Row = {"case": "joint on the band", "autoencoder": "FashionMNIST", "side": images.shape[1]}
    return _compared(
        setting, tokenizer, images, ON_SMALL_GRIDS, fields | {"codes": tokenizer.num_codes}, "joint/fashion"
    )
