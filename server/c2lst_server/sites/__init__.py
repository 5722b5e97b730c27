"""Which institutions the centre knows."""
