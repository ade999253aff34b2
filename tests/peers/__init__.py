"""Tests against PyTorch and diffusers: `make peers` installs them in an environment of its own. Elsewhere they are skipped."""
