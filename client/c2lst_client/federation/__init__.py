"""The site's end of the federation: Flower's SuperNode, and the one door through which answers leave."""
