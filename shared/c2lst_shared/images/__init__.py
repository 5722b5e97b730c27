"""Pixels before they are tensors: slides, tissue, tiles, stain."""
