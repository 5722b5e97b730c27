"""Rounds at the site: policy, queue, worker, and the answers to what the centre asks."""
