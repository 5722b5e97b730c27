"""Python imports this by its name, in every process whose PYTHONPATH begins with this folder: presets become short ones."""

from fakes.short_presets import SHORT

from c2lst_shared.presets import PRESETS

PRESETS.update(SHORT)
