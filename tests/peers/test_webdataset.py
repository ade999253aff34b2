"""Tars as webdataset writes and reads them: the same keys, labels and pixels."""

import numpy as np
import pytest

from geovq.corpus.records import read_records
from geovq.corpus.sources import open_images

webdataset = pytest.importorskip("webdataset")
pytest.importorskip("grain")

pytestmark = pytest.mark.filterwarnings("ignore")  # of webdataset


def test_tars_of_webdataset_are_read_as_it_reads_them(rng, tmp_path):
    images = rng.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    path = tmp_path / "0.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for i, pixels in enumerate(images):
            writer.write({"__key__": f"some.folder/{i}.b", "png": pixels, "cls": i})
    (shard,) = open_images(tmp_path)
    found = list(read_records(shard))
    wanted = list(webdataset.WebDataset(f"file:{path}", shardshuffle=False).decode("rgb8"))
    assert len(wanted) == len(found) == 4
    for record, sample, pixels in zip(found, wanted, images, strict=True):
        (image,) = (value for name, value in sample.items() if name.endswith("png"))
        (label,) = (value for name, value in sample.items() if name.endswith("cls"))
        np.testing.assert_array_equal(record.image, image)
        np.testing.assert_array_equal(record.image, pixels)
        assert record.label == int(label)
        assert record.name.startswith(f"0.tar/{sample['__key__']}")
