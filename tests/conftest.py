"""Tests run on one torch thread each: small tensors gain nothing from more, and parallel workers share the cores."""

import torch

torch.set_num_threads(1)
