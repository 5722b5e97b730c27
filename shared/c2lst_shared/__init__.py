"""What both sides must agree on: presets, the diffusion core, images, releases. Imports neither side."""
