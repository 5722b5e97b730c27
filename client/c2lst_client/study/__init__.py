"""One study of an adapted model: what a reader of the method wants to see, measured and drawn."""
