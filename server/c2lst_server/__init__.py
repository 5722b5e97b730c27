"""The central service: trains, signs, publishes and serves releases."""
