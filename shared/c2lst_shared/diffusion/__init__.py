"""The diffusion core: backbone, FiLM adapter, schedule and objective, samplers, trainer. Torch only: no files, no network."""
