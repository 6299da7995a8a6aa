"""Pages that stand alone: one HTML file with its pictures inside, for a browser without a network."""

from featx.pages._page import figure, write_page
from featx.pages._thumbnail import thumbnail

__all__ = ["figure", "thumbnail", "write_page"]
