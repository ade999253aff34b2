"""Files that are whole or absent: written under a temporary name and renamed, read whole or refused in one line.

Imports `geovq.validation`. `paths` takes what users give, `files` has bytes, `bits` has checksums of arrays, `records` has JSON,
and `arrays` has .npz files. Files come from strangers: what a file claims is compared with its length before memory is taken for
it.
"""
