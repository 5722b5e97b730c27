"""The centre's end of the federation: Flower's SuperLink, who may connect to it, and what it runs."""
