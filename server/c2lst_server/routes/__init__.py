"""HTTP routes, one module per resource; each calls one library function."""
