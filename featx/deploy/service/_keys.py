"""API keys: where they come from, and whether a request has one of them.

Like ``images/_decode.py``, this file also runs, byte for byte, where featx is not installed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ...exceptions import ParameterError

VARIABLE = "FEATX_API_KEY"
# What can be put behind the keys beside what always is: pages that a browser opens by their address, without a header
# of ours. There the key may be the password that the browser asks for. Nowhere else: a browser sends it again unasked,
# and another site could have it send a request that changes something.
PROTECTABLE = {"metrics": ("/metrics",), "docs": ("/docs", "/openapi.json")}
_BY_PASSWORD = frozenset(path for paths in PROTECTABLE.values() for path in paths)
_KEY = re.compile(r"[!-~]{16,512}")
_EXPECTED = (
    "Expected 16 to 512 visible ASCII characters without spaces, such as "
    "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes."
)


class Keys:
    """The keys that a service accepts.

    Parameters
    ----------
    keys : sequence of str
        One at least.
    """

    def __init__(self, keys: Sequence[str]):
        self._digests = [_digest(key.encode()) for key in keys]

    def __repr__(self) -> str:
        return f"Keys({len(self._digests)})"

    def admit(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a request's headers, with names in lower case as ASGI has them, hold one of the keys.

        Digests are compared, each with each: the time that it takes tells neither a key nor its length.
        """
        given = [_digest(key) for key in _keys_in(headers, path in _BY_PASSWORD)]
        return sum(hmac.compare_digest(one, other) for one in given for other in self._digests) > 0


def read_keys(file: Path | None, environment: Mapping[str, str]) -> Keys | None:
    """Read the keys that a service is to accept.

    Parameters
    ----------
    file : Path or None
        A file of keys, one a line, so that an old one can go on beside a new one.
    environment : mapping of str to str
        A key may be its ``FEATX_API_KEY`` instead.

    Returns
    -------
    Keys or None
        None if there is neither.

    Raises
    ------
    ParameterError
        If there are both, or none where one was to be, or one that could be guessed or cannot be sent. Nothing of a
        key is in the message.
    OSError
        If the file cannot be read.
    """
    if file is None and VARIABLE not in environment:
        return None
    if file is not None and VARIABLE in environment:
        raise ParameterError(f"Got API keys both in {file} and in {VARIABLE}. Expected one of the two.")
    where = VARIABLE if file is None else str(file)
    text = environment[VARIABLE] if file is None else file.read_text("utf-8-sig", errors="replace")
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    if not keys:
        raise ParameterError(f"Got no API key in {where}: it is empty. {_EXPECTED}")
    for number, key in enumerate(keys, 1):
        if not _KEY.fullmatch(key):
            what = f"of {len(key)} characters" if key.isascii() else "with characters beyond ASCII"
            raise ParameterError(f"Got an API key {what} in {where}, line {number}. {_EXPECTED}")
    return Keys(keys)


def explain(path: str) -> str:
    """Tell in words what a client without a key lacks."""
    text = "Got no API key that this service knows. Expected it in the header X-API-Key, or as a Bearer."
    return f"{text} In a browser: as the password, with any name." if path in _BY_PASSWORD else text


def challenge(path: str) -> str:
    """Return by what a client without a key is told how to send one: the header WWW-Authenticate of the answer."""
    # One challenge: with Bearer before Basic in one line, Chromium did not ask for a password.
    return 'Basic realm="any name, and the API key as the password"' if path in _BY_PASSWORD else "Bearer"


def _keys_in(headers: Iterable[tuple[bytes, bytes]], by_password: bool) -> list[bytes]:
    keys = []
    for name, value in headers:
        scheme, _, token = value.strip().partition(b" ")
        if name == b"x-api-key":
            keys.append(value.strip())
        elif name == b"authorization" and scheme.lower() == b"bearer":
            keys.append(token.strip())
        elif name == b"authorization" and scheme.lower() == b"basic" and by_password:
            with suppress(binascii.Error):
                keys.append(base64.b64decode(token.strip(), validate=True).partition(b":")[2])
    return keys


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
