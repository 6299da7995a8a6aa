"""``featx cache``: describe, verify or clear a store of embeddings."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from featx.cli._command import add_command, add_json, note, print_json
from featx.exceptions import InputError, ParameterError

if TYPE_CHECKING:
    from featx.store import EmbeddingStore

_EXAMPLES = """
featx cache info
featx cache verify --cache some/folder --json
featx cache clear --encoder resnet50 --yes
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "cache",
        _info,
        help="describe, verify or clear the stored embeddings",
        description="Look after the stored embeddings.",
        examples=_EXAMPLES,
    )
    actions = command.add_subparsers(required=True, metavar="action")
    for name, run, help_ in (
        ("info", _info, "list what is stored, encoder by encoder"),
        ("verify", _verify, "read every row; the exit status is 1 if any are damaged (they will be encoded again)"),
        ("clear", _clear, "delete embeddings, and only what featx wrote"),
    ):
        action = actions.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
        action.add_argument("--cache", metavar="DIR", help="default: $FEATX_CACHE or your cache folder")
        add_json(action)
        action.set_defaults(run=run)
    action.add_argument(
        "--encoder", metavar="NAME", help="only its embeddings: a name or a fingerprint from info; default: all"
    )
    action.add_argument("--yes", action="store_true", help="do not ask")


def _info(parsed: argparse.Namespace) -> None:
    store = _store(parsed)
    table = store.info()
    if parsed.json:
        records = json.loads(table.to_json(orient="records", date_format="iso"))
        print_json({"location": str(store.location), "encoders": records})
        return
    print(f"{store.location}: {table['rows'].sum():,} embeddings, {table['bytes'].sum() / 1e6:,.1f} MB")
    if len(table):
        shown = table.assign(fingerprint=table["fingerprint"].str[:16], last_used=table["last_used"].dt.floor("s"))
        print(shown.to_string(index=False))


def _verify(parsed: argparse.Namespace) -> int:
    store = _store(parsed)
    table = store.verify()
    bad = table[(table["damaged"] > 0) | (table["error"] != "")]
    if parsed.json:
        records = json.loads(bad.to_json(orient="records"))
        print_json({"location": str(store.location), "segments": len(table), "damaged": records})
    else:
        for _, row in bad.iterrows():
            reason = row["error"] or f"{row['damaged']:,} of {row['rows']:,} rows are damaged"
            print(f"{store.location / row['fingerprint'] / row['segment']}: {reason}")
        print(f"{store.location}: {table['rows'].sum():,} embeddings, {len(bad):,} of {len(table):,} files damaged")
    return int(len(bad) > 0)


def _clear(parsed: argparse.Namespace) -> int:
    store = _store(parsed)
    if not parsed.yes and not _confirmed(store, parsed.encoder):
        note("Nothing was deleted.")
        return 1
    freed = store.clear(parsed.encoder)
    if parsed.json:
        print_json({"location": str(store.location), "freed_bytes": freed})
    else:
        print(f"{store.location}: {freed / 1e6:,.1f} MB deleted")
    return 0


def _confirmed(store: EmbeddingStore, encoder: str | None) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        raise ParameterError("Cannot ask for confirmation without a terminal. Add --yes to delete the embeddings.")
    what = "all embeddings" if encoder is None else f"those of {encoder}"
    print(f"Delete {what} in {store.location}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _store(parsed: argparse.Namespace) -> EmbeddingStore:
    from featx.store import EmbeddingStore

    if parsed.cache and not Path(parsed.cache).expanduser().is_dir():
        raise InputError(f"{Path(parsed.cache).absolute()} is not there. Expected a folder of embeddings.")
    return EmbeddingStore(parsed.cache)
