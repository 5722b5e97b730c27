"""The whole story on a procedural phantom or on a folder of real tissue, through the real commands."""
