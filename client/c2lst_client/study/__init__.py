"""Figures and tables of a study: what the journey measured, drawn for print."""
