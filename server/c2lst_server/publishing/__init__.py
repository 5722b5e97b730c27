"""Keys, the TUF repository and the making of a release."""
