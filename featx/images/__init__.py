"""Image sources -> bytes -> uint8 pixels; knows no encoders and no store."""

from featx.images._accept import ImageColumn, as_column
from featx.images._attach import attach_images
from featx.images._cell import StoredImage, is_missing, is_path, location_of, open_cell
from featx.images._check import BLANK, check_images, note_on
from featx.images._columns import Cells, library_of
from featx.images._decode import MAX_PIXELS, POLICY, DecodeError, open_header
from featx.images._doors import Doors, RefusedImage, open_column
from featx.images._files import find_images, list_images, warn_left_out
from featx.images._frame import columns_of, doubled_in
from featx.images._image_folder import read_image_folder
from featx.images._image_table import is_table_name, open_table, read_image_table
from featx.images._known import known_paths
from featx.images._listing import list_any
from featx.images._memo import DigestMemo, FileState
from featx.images._pillow import identify
from featx.images._pixel_path import DIGEST_BYTES, PixelPath, load
from featx.images._preprocess import FITS, Preprocess
from featx.images._read import read_file, to_pixels
from featx.images._several import members_of, most_images, spread
from featx.images._source import (
    KeptImage,
    UnreadFile,
    absolute,
    digest_many,
    digest_unread,
    name_of_file,
    read_in_parts,
)

__all__ = [
    "BLANK",
    "DIGEST_BYTES",
    "FITS",
    "MAX_PIXELS",
    "POLICY",
    "Cells",
    "DecodeError",
    "DigestMemo",
    "Doors",
    "FileState",
    "ImageColumn",
    "KeptImage",
    "PixelPath",
    "Preprocess",
    "RefusedImage",
    "StoredImage",
    "UnreadFile",
    "absolute",
    "as_column",
    "attach_images",
    "check_images",
    "columns_of",
    "digest_many",
    "digest_unread",
    "doubled_in",
    "find_images",
    "identify",
    "is_missing",
    "is_path",
    "is_table_name",
    "known_paths",
    "library_of",
    "list_any",
    "list_images",
    "load",
    "location_of",
    "members_of",
    "most_images",
    "name_of_file",
    "note_on",
    "open_cell",
    "open_column",
    "open_header",
    "open_table",
    "read_file",
    "read_image_folder",
    "read_image_table",
    "read_in_parts",
    "spread",
    "to_pixels",
    "warn_left_out",
]
