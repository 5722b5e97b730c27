"""Rounds at the centre: what was asked of which site, and what came back."""
