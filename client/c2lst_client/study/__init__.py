"""The study: the paper's evaluation on one site, with controls, intervals and a verdict. `design.py` says what is varied."""
