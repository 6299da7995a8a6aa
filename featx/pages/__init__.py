"""Pages that stand alone: one HTML file with its pictures inside, for a browser without a network."""

from featx.pages._page import figure, thumbnail, write_page

__all__ = ["figure", "thumbnail", "write_page"]
