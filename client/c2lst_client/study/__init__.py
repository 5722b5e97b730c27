"""The study of one site: every measurement of the method with its figures."""
