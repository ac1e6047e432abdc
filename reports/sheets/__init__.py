"""Static HTML pages of one table of contents: figures, tables and text in sections, light and dark, no script."""
