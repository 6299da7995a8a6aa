"""``featx cache``: describe, verify, compact, prune, export or clear a store of embeddings."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from featx.cli._command import add_command, add_json, note, print_json
from featx.cli._files import check_target
from featx.cli._units import format_bytes, parse_bytes, parse_duration
from featx.exceptions import InputError, ParameterError

if TYPE_CHECKING:
    from featx.store import EmbeddingStore

_EXAMPLES = """
featx cache info
featx cache verify --cache some/folder --json
featx cache compact
featx cache prune --max-bytes 10GB --unused-for 30d
featx cache export -o embeddings.parquet --encoder resnet50
featx cache info --cache s3://bucket/embeddings
featx cache prune --cache s3://bucket/embeddings --copies --max-bytes 10GB
featx cache clear --encoder resnet50 --yes
"""


def add(commands: argparse._SubParsersAction) -> None:
    command = add_command(
        commands,
        "cache",
        _info,
        help="describe, verify, compact, prune, export or clear the stored embeddings",
        description="Look after the stored embeddings.",
        examples=_EXAMPLES,
    )
    actions = command.add_subparsers(required=True, metavar="action")
    add_option = {
        name: _add_action(actions, name, run, help_).add_argument
        for name, run, help_ in (
            ("info", _info, "list what is stored, encoder by encoder"),
            ("verify", _verify, "read every row; the exit status is 1 if any are damaged (they will be encoded again)"),
            ("compact", _compact, "merge small files and write an index, so that a large store opens at once"),
            ("prune", _prune, "delete embeddings, those that were used least recently first"),
            ("export", _export, "write the embeddings of one encoder, beside the paths of their images"),
            ("clear", _clear, "delete embeddings, and only what featx wrote"),
        )
    }
    _add_options(add_option)


def _add_options(add_option: Mapping[str, Callable[..., argparse.Action]]) -> None:
    """Declare what each action takes."""
    add_option["verify"](
        "--repair",
        action="store_true",
        help="write what is sound anew and move damaged files aside; the exit status is 1 if any are left",
    )
    add_option["prune"]("--max-bytes", type=parse_bytes, metavar="SIZE", help="what is beyond 500MB, 10GB, 2TiB")
    add_option["prune"]("--unused-for", type=parse_duration, metavar="TIME", help="what was not used for 90m, 12h, 30d")
    add_option["prune"](
        "--copies", action="store_true", help="only copies of an object store on this machine; they are fetched again"
    )
    add_option["export"](
        "-o", "--output", required=True, metavar="FILE", help=".parquet: the columns digest, path, embedding"
    )
    add_option["export"](
        "--encoder", metavar="NAME", help="a name or a fingerprint from info; needed where there are several"
    )
    add_option["clear"](
        "--encoder", metavar="NAME", help="only its embeddings: a name or a fingerprint from info; default: all"
    )
    for name in ("prune", "clear"):
        add_option[name]("--yes", action="store_true", help="do not ask")


def _add_action(
    actions: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], int | None],
    help_: str,
) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    action.add_argument("--cache", metavar="DIR|URL", help="default: $FEATX_CACHE or your cache folder")
    add_json(action)
    action.set_defaults(run=run)
    return action


def _info(parsed: argparse.Namespace) -> None:
    store = _store(parsed)
    table = store.info()
    if parsed.json:
        records = json.loads(table.to_json(orient="records", date_format="iso"))
        print_json({"location": str(store.location), "copied_bytes": store.copied_bytes(), "encoders": records})
        return
    copies = f" ({format_bytes(copied)} of copies on this machine)" if (copied := store.copied_bytes()) else ""
    print(f"{store.location}: {table['rows'].sum():,} embeddings, {format_bytes(table['bytes'].sum())}{copies}")
    if len(table):
        shown = table.assign(fingerprint=table["fingerprint"].str[:16], last_used=table["last_used"].dt.floor("s"))
        print(shown.to_string(index=False))


def _verify(parsed: argparse.Namespace) -> int:
    store = _store(parsed)
    table = store.verify(repair=parsed.repair)
    bad = table[(table["damaged"] > 0) | (table["error"] != "")]
    if parsed.json:
        records = json.loads(bad.to_json(orient="records"))
        print_json({"location": str(store.location), "segments": len(table), "damaged": records})
    else:
        for _, row in bad.iterrows():
            reason = row["error"] or f"{row['damaged']:,} of {row['rows']:,} rows are damaged"
            repaired = "; repaired" if row["repaired"] else ""
            print(f"{store.location}/{row['fingerprint']}/{row['segment']}: {reason}{repaired}")
        print(f"{store.location}: {table['rows'].sum():,} embeddings, {len(bad):,} of {len(table):,} files damaged")
    return int(not bad["repaired"].all())


def _compact(parsed: argparse.Namespace) -> None:
    store = _store(parsed)
    store.compact()
    total = store.info()[["rows", "segments", "bytes"]].sum()
    if parsed.json:
        print_json({"location": str(store.location), **{name: int(value) for name, value in total.items()}})
    else:
        print(
            f"{store.location}: {total['rows']:,} embeddings in {total['segments']:,} segments, "
            f"{format_bytes(total['bytes'])}"
        )


def _prune(parsed: argparse.Namespace) -> int:
    if parsed.max_bytes is None and parsed.unused_for is None:
        raise ParameterError("Got neither --max-bytes nor --unused-for. Expected at least one: --max-bytes 10GB.")
    what = []
    if parsed.unused_for is not None:
        what.append(f"what was not used for {parsed.unused_for}")
    if parsed.max_bytes is not None:
        what.append(f"what is beyond {format_bytes(parsed.max_bytes)}")
    limits = {"max_bytes": parsed.max_bytes, "unused_for": parsed.unused_for, "copies": parsed.copies}
    of = "of this machine's copies, " if parsed.copies else ""
    return _delete(parsed, of + " and ".join(what), lambda store: store.prune(**limits))


def _export(parsed: argparse.Namespace) -> None:
    from featx.images import known_paths

    check_target(parsed.output)
    store = _store(parsed)
    n = store.export(parsed.output, parsed.encoder, paths=known_paths())
    if parsed.json:
        print_json({"location": str(store.location), "file": parsed.output, "rows": n})
    else:
        note(f"{n:,} embeddings: {parsed.output}")


def _clear(parsed: argparse.Namespace) -> int:
    what = "all embeddings" if parsed.encoder is None else f"those of {parsed.encoder}"
    return _delete(parsed, what, lambda store: store.clear(parsed.encoder))


def _delete(parsed: argparse.Namespace, what: str, delete: Callable[[EmbeddingStore], int]) -> int:
    store = _store(parsed)
    if not parsed.yes and not _confirmed(f"Delete {what} in {store.location}?"):
        note("Nothing was deleted.")
        return 1
    freed = delete(store)
    if parsed.json:
        print_json({"location": str(store.location), "freed_bytes": freed})
    else:
        print(f"{store.location}: {format_bytes(freed)} deleted")
    return 0


def _confirmed(question: str) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        raise ParameterError("Cannot ask for confirmation without a terminal. Add --yes to delete the embeddings.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _store(parsed: argparse.Namespace) -> EmbeddingStore:
    from featx.store import EmbeddingStore

    if parsed.cache and "://" not in parsed.cache and not Path(parsed.cache).expanduser().is_dir():
        raise InputError(f"{Path(parsed.cache).absolute()} is not there. Expected a folder of embeddings.")
    return EmbeddingStore(parsed.cache)
