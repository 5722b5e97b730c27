"""The corpus of a training: tiles from slides or ready-made, judged, stain-normalised, split; the way is in `build.py`."""
