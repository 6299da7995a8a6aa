"""Pages that stand alone: one HTML file with its pictures inside, for a browser without a network."""

from featx.transfer.page._page import figure, write_page
from featx.transfer.page._thumbnail import thumbnail

__all__ = ["figure", "thumbnail", "write_page"]
