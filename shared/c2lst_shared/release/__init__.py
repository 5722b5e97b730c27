"""What a signed release is, and how its weights are loaded safely."""
