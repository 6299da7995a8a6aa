"""What lies in a location: described, verified, pruned, deleted. Only what the store wrote counts."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featx.exceptions import ParameterError, StoreError, UnknownNameError
from featx.store._files import DAMAGED, ENCODER_FILE, LOCK, Files, OwnFile, Place, is_being_written, is_left_over
from featx.store._folder import Folder
from featx.store._index import INDEX_NAME
from featx.store._layout import DamagedFileError, NewerFormatError
from featx.store._record import RECORD_NAME, DamagedRecordError, read_record
from featx.store._segment import SEGMENT_NAME, Segment
from featx.store._upkeep import TendedFolder

if TYPE_CHECKING:
    import pandas as pd

NAME_LENGTH = 32
_FOLDER_NAME = re.compile(rf"[0-9a-f]{{{NAME_LENGTH}}}")
_PREFIX = 8
_INFO = ["encoder", "fingerprint", "rows", "unique_rows", "segments", "bytes", "last_used"]
_VERIFIED = ["fingerprint", "segment", "rows", "damaged", "error", "repaired"]
_NO_CARD = "it is missing or damaged; it is written again with the next row"

# So long a writer may take between the rows that it adds to a folder that was pruned meanwhile, and their card.
_LOOKS = 5
_BETWEEN_LOOKS = 0.1

# Gives a folder while its lock is held.
Locked = Callable[[str], AbstractContextManager[TendedFolder]]


def describe(place: Place) -> pd.DataFrame:
    """See `EmbeddingStore.info`."""
    import pandas as pd

    described = [_describe(name, place.files(name)) for name in folders(place)]
    table = pd.DataFrame([row for row in described if row["bytes"]], columns=_INFO)  # others were cleared meanwhile
    return table.assign(last_used=pd.to_datetime(table["last_used"]))  # which is of times if all are missing, too


def verify(place: Place, locked: Locked | None) -> pd.DataFrame:
    """See `EmbeddingStore.verify`; with `locked`, what can be repaired is."""
    import pandas as pd

    records = []
    for name in folders(place):
        files = place.files(name)
        found = [{"fingerprint": name, **record, "repaired": False} for record in _check_all(name, files)]
        bad = {record["segment"] for record in found if record["damaged"] or record["error"]} - {ENCODER_FILE}
        if bad and locked is not None:
            left: set[str] = set()
            with suppress(FileNotFoundError), locked(name) as folder:  # cleared meanwhile
                left = folder.repair(bad)
            for record in found:
                record["repaired"] = record["segment"] in bad - left
        records += found
    return pd.DataFrame(records, columns=_VERIFIED)


def clear(place: Place, encoder: str | None) -> int:
    """See `EmbeddingStore.clear`."""
    return sum(_remove(place, name) for name in chosen(place, encoder))


def prune(place: Place, max_bytes: int | None, oldest: float | None, locked: Locked) -> int:
    """See `EmbeddingStore.prune`; what was used before `oldest`, in seconds since 1970, goes."""
    own = {name: place.files(name).own() for name in folders(place)}
    before = total = sum(file.n_bytes for files in own.values() for file in files)
    left = [(file, name) for name, files in own.items() for file in files if _is_prunable(file)]
    left.sort(key=lambda item: (not _is_useless(item[0]), item[0].used))
    in_folder = Counter(name for _, name in left)
    going: dict[str, list[str]] = {}
    for file, name in left:
        if (oldest is not None and file.used < oldest) or (max_bytes is not None and total > max_bytes):
            going.setdefault(name, []).append(file.name)
            total -= file.n_bytes
            in_folder[name] -= 1
            if not in_folder[name]:  # card and index go with the last of them
                total -= sum(other.n_bytes for other in own[name] if not _is_prunable(other))
    for name, gone in going.items():
        with suppress(FileNotFoundError):  # cleared meanwhile
            _prune(place, name, gone, locked)
    return max(0, before - total_bytes(place))


def _prune(place: Place, name: str, gone: list[str], locked: Locked) -> None:
    with locked(name) as folder:
        folder.remove(gone)
        rest = folder.files.own()
        if any(map(_is_prunable, rest)):
            return
        _empty(folder.files, rest)
    place.remove(name)


def prune_copies(copies: Place, max_bytes: int | None, oldest: float | None) -> int:
    """See `EmbeddingStore.prune`; without a turn, since whoever misses a copy fetches it again."""
    before = total = copied_bytes(copies)
    for file, name in sorted(_copies(copies), key=lambda item: item[0].used):
        if (oldest is not None and file.used < oldest) or (max_bytes is not None and total > max_bytes):
            copies.files(name).remove([file.name])
            total -= file.n_bytes
    for name in copies.folders():
        if all(file.name == LOCK for file in copies.files(name).own()):
            copies.remove(name)
    return before - total


def copied_bytes(copies: Place) -> int:
    """See `EmbeddingStore.copied_bytes`."""
    return sum(file.n_bytes for file, _ in _copies(copies))


def _copies(copies: Place) -> list[tuple[OwnFile, str]]:
    """List the copies that are complete, or will never be, each with its folder's name."""
    own = [(file, name) for name in copies.folders() for file in copies.files(name).own()]
    return [(file, name) for file, name in own if file.name != LOCK and not is_being_written(file)]


def total_bytes(place: Place) -> int:
    """Size of all that the store wrote."""
    return sum(_size(place.files(name)) for name in folders(place))


def folders(place: Place) -> list[str]:
    """Name the store's own folders: named by a fingerprint, with ``encoder.json`` or a segment in them."""
    names = [name for name in place.folders() if _FOLDER_NAME.fullmatch(name)]
    return [name for name in names if any(map(_is_sign, place.files(name).names()))]


def chosen(place: Place, encoder: str | None) -> list[str]:
    """Name the folders of an encoder: a name, or a fingerprint's beginning; None is all."""
    names = folders(place)
    if encoder is None:
        return names
    found = [name for name in names if _is_by(name, place.files(name), encoder)]
    if not found:
        known = {read_encoder(place.files(name)).get("name", name) for name in names}
        raise UnknownNameError("encoder in this store", encoder, sorted(known))
    return found


def one_chosen(place: Place, encoder: str | None) -> str:
    """Name the folder of an encoder that has embeddings; a ParameterError lists them where there are several."""
    names = [name for name in chosen(place, encoder) if any(map(SEGMENT_NAME.fullmatch, place.files(name).names()))]
    if not names:
        of = "" if encoder is None else f" by {encoder}"
        raise StoreError(f"The store {place.path} holds no embeddings{of}. Expected one that encoders have written to.")
    if len(names) > 1:
        known = "\n".join(f"  {_titled(name, read_encoder(place.files(name)))}" for name in names)
        got = f"Got encoder={encoder!r}, which stands for several fingerprints in {place.path}"
        raise ParameterError(f"{got}. Expected one of them, its first {_PREFIX} digits or more:\n{known}")
    return names[0]


def _titled(name: str, card: Mapping[str, Any]) -> str:
    details = [f"{what} {card[what]}" for what in ("layer", "pooling", "precision", "dtype") if card.get(what)]
    return f"{name[:16]}  {', '.join([card.get('name', '?'), *details])}"


def read_encoder(files: Files) -> dict[str, Any]:
    """Read ``encoder.json``; {} if it is missing or damaged."""
    try:
        encoder = _read_json(files)
        if encoder is None and files.renew(ENCODER_FILE):
            encoder = _read_json(files)
    except StoreError:  # an object store that cannot be asked says nothing about the card
        raise
    except OSError:
        encoder = None
    return encoder if isinstance(encoder, dict) else {}


def _read_json(files: Files) -> Any:
    try:
        return json.loads(files.fetch(ENCODER_FILE).read_bytes())
    except (ValueError, RecursionError):
        return None


def is_lost(files: Files) -> bool:
    """Whether a card that could not be read is lost, and not only gone or coming with its rows, by other processes."""
    for _ in range(_LOOKS):
        if read_encoder(files) or not any(_is_sign(name) or RECORD_NAME.fullmatch(name) for name in files.names()):
            return False
        time.sleep(_BETWEEN_LOOKS)
    return True


def write_encoder(files: Files, encoder: Mapping[str, Any]) -> None:
    """Say, for people and for checks, what the rows were encoded by."""
    text = json.dumps(encoder, indent=1, sort_keys=True)

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    files.publish(ENCODER_FILE, write)


def disagrees(name: str, encoder: Mapping[str, Any]) -> str:
    """Say why a card is not that of a folder; "" if it is, or says nothing."""
    fingerprint = str(encoder.get("fingerprint", name))
    if fingerprint.startswith(name):
        return ""
    return f"it is of the fingerprint {fingerprint[:NAME_LENGTH]}, which is not the folder's name"


def _is_sign(name: str) -> bool:
    return name == ENCODER_FILE or SEGMENT_NAME.fullmatch(name) is not None


def _is_prunable(file: OwnFile) -> bool:
    return bool(SEGMENT_NAME.fullmatch(file.name) or RECORD_NAME.fullmatch(file.name)) or _is_useless(file)


def _is_useless(file: OwnFile) -> bool:
    return file.name.endswith(DAMAGED) or is_left_over(file)


def _is_by(name: str, files: Files, encoder: str) -> bool:
    by_fingerprint = len(encoder) >= _PREFIX and encoder.startswith(name[: len(encoder)])
    return by_fingerprint or read_encoder(files).get("name") == encoder


def _describe(name: str, files: Files) -> dict[str, Any]:
    rows, unique_rows, segments = Folder(files, report=lambda _: None).count()
    encoder = read_encoder(files)
    own = files.own()
    used = [file.used for file in own if file.name == ENCODER_FILE]
    return {
        "encoder": encoder.get("name", ""),
        "fingerprint": encoder.get("fingerprint", name),
        "rows": rows,
        "unique_rows": unique_rows,
        "segments": segments,
        "bytes": sum(file.n_bytes for file in own),
        "last_used": datetime.fromtimestamp(used[0]) if used else None,
    }


def _check_all(name: str, files: Files) -> Iterator[dict[str, Any]]:
    names = files.names()
    card = read_encoder(files)
    error = disagrees(name, card)
    if not card and is_lost(files):
        error = _NO_CARD
    if error:
        yield {"segment": ENCODER_FILE, "rows": 0, "damaged": 0, "error": error}
    for pattern in (SEGMENT_NAME, INDEX_NAME, RECORD_NAME):
        for file in filter(pattern.fullmatch, names):
            with suppress(FileNotFoundError):  # merged away since the listing: no damage
                yield {"segment": file, "rows": 0, "damaged": 0, "error": "", **_check(files, file)}


def _check(files: Files, name: str) -> dict[str, Any]:
    files.renew(name)  # the object is what counts, not a copy of it
    try:
        if INDEX_NAME.fullmatch(name):
            return {"error": Folder(files, report=lambda _: None).check_index(name)}
        if RECORD_NAME.fullmatch(name):
            read_record(files.fetch(name))
            return {}
        keys, _, sound = Segment(files.fetch(name)).read()
    except FileNotFoundError:
        raise
    except (DamagedFileError, NewerFormatError, DamagedRecordError, OSError) as error:
        return {"error": str(error)}
    return {"rows": len(keys), "damaged": int((~sound).sum())}


def _size(files: Files) -> int:
    return sum(file.n_bytes for file in files.own())


def _remove(place: Place, name: str) -> int:
    files = place.files(name)
    own = files.own()
    _empty(files, own)
    place.remove(name)
    return sum(file.n_bytes for file in own)


def _empty(files: Files, own: Sequence[OwnFile]) -> None:
    """Delete files by their names: what is published meanwhile stays."""
    files.remove({file.name for file in own} - {LOCK, ENCODER_FILE})
    # The card last: what is interrupted before can be seen and cleared again.
    card = read_encoder(files)
    files.remove({file.name for file in own} & {ENCODER_FILE})
    if card and any(_is_sign(name) or RECORD_NAME.fullmatch(name) for name in files.names()):
        with suppress(FileNotFoundError):  # whose writer had found the card before it went
            write_encoder(files, card)
