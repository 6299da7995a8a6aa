"""Image sources -> bytes -> uint8 pixels; knows no encoders and no store."""

from featx.images._accept import ImageColumn, as_column, is_missing
from featx.images._decode import MAX_PIXELS, POLICY, DecodeError, open_header
from featx.images._formats import identify
from featx.images._memo import DigestMemo
from featx.images._note import BLANK, note_on
from featx.images._pixel_path import PixelPath
from featx.images._preprocess import FITS, Preprocess
from featx.images._read import is_path, read_file, to_pixels
from featx.images._source import (
    DIGEST_BYTES,
    UnreadFile,
    absolute,
    digest_many,
    digest_unread,
    load,
    read_in_parts,
)

__all__ = [
    "BLANK",
    "DIGEST_BYTES",
    "FITS",
    "MAX_PIXELS",
    "POLICY",
    "DecodeError",
    "DigestMemo",
    "ImageColumn",
    "PixelPath",
    "Preprocess",
    "UnreadFile",
    "absolute",
    "as_column",
    "digest_many",
    "digest_unread",
    "identify",
    "is_missing",
    "is_path",
    "load",
    "note_on",
    "open_header",
    "read_file",
    "read_in_parts",
    "to_pixels",
]
