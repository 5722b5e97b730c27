"""Trainings that are queued for trainers: by an administrator over HTTP, or by a command (`training/` is what they run)."""
