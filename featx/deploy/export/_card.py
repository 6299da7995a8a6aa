"""The card of a bundle: what is known of its data, scores and limits, and as a page that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from featx.deploy.export._diagram import DIAGRAM
from featx.evaluation import ModelScores, as_model_scores

_MOST_CLASSES = 40
_FEW_ROWS = 20
_LONG = 80
_METRICS = {
    "accuracy": ("accuracy", "the share of images whose label is right"),
    "balanced_accuracy": ("balanced accuracy", "the mean of that share over the classes"),
    "macro_f1": ("macro F1", "the mean over the classes of F1, which weighs false against missed"),
    "r2": ("R²", "1 is perfect, 0 no better than the mean"),
    "mae": ("mean absolute error", "in units of the target"),
    "rmse": ("root mean squared error", "in units of the target"),
}


def make_card(content: Mapping[str, Any], scores: ModelScores | None, *, sampled: bool) -> dict[str, Any]:
    """Return what the manifest says beside the bundle's own facts.

    Parameters
    ----------
    content : mapping
        The manifest's content, with how far the bundle agrees with the pipeline.
    scores : ModelScores or None
        What is known of how good it is.
    sampled : bool
        Whether that agreement was measured on images of the user.

    Returns
    -------
    dict
        ``scores``, as `ModelScores.to_dict` has them or None, and ``limits``, sentences.
    """
    return {
        "scores": None if scores is None else scores.to_dict(),
        "limits": list(_limits(content, scores or ModelScores(), sampled)),
    }


def _limits(content: Mapping[str, Any], scores: ModelScores, sampled: bool) -> Iterable[str]:
    """Say what was not measured, and what was and is no good news."""
    predicts, classes = content["task"] != "embedding", content["classes"] is not None
    measured = bool(scores.folds or scores.splits)
    if predicts and not measured:
        yield "No scores were given: how often it is right was not measured."
    if scores.folds and not scores.how:
        yield "How the folds of its scores were made was not told."
    if measured:
        yield (
            "It was scored on images of the same source as those that it was fitted on. How it does on others, of "
            "another camera, place or time, or on single groups among them, was not measured."
        )
    if predicts and scores.rows is None:
        yield "Nothing was told of the data that it was fitted on."
    if classes and scores.reliability is None:
        known = "probabilities" in content["outputs"]
        yield (
            "Whether its probabilities are right was not measured."
            if known
            else "It gives no probabilities: nothing says how sure it is of a label."
        )
    if scores.copies:
        yield f"{scores.copies:,} groups of equal images are on both sides of a fold: its scores are too good."
    if predicts and scores.audit is None:
        looked = "Near copies among its images" if scores.copies is not None else "Copies among its images"
        yield f"{looked}, wrong labels and outliers were not looked for (featx.audit does that)."
    few = {name: n for name, n in (scores.classes or {}).items() if n < _FEW_ROWS}
    if few:
        named = ", ".join(f"{as_code(name)} ({n})" for name, n in list(few.items())[:5])
        yield f"It saw fewer than {_FEW_ROWS} images of {len(few):,} of its classes, such as {named}."
    if classes and "width" not in content:
        yield "It answers every image with one of its classes, also an image of none of them."
    if content["quantize"]:
        yield (
            f"Its encoder was rounded to {content['quantize']} after the scores were measured; their agreement, "
            "below, says how much that changes."
        )
    if not sampled:
        yield "That it answers as the pipeline did was checked on parts of two built-in photos, and no others."
    if "unknown" in _licenses(content):
        yield "Under which license the weights of its encoder may be used was not told."


def describe(manifest: Mapping[str, Any]) -> str:
    """Tell in a few words what a bundle is: the title of its page."""
    task, classes = manifest["task"], manifest["classes"]
    if task == "embedding":
        return "An image encoder"
    several, others = manifest.get("width"), len(manifest["inputs"]) - 1
    takes = f"an image and {others} other column{'s' if others > 1 else ''}" if others else "an image"
    if task == "regression":
        return f"A model that predicts {f'{several} numbers' if several else 'a number'} from {takes}"
    kind = f"A classifier of {takes}" if others else "An image classifier"
    if several:
        return f"{kind} with {several} outputs"
    names = [as_code(value) for value in classes["values"][:3]]
    more = f" and {len(classes['values']) - 3:,} more" if len(classes["values"]) > 3 else ""
    return f"{kind}: {', '.join(names)}{more}"


def render(manifest: Mapping[str, Any]) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    manifest : mapping
        The manifest's content, with its card.

    Returns
    -------
    str
        Sections of the second level.
    """
    card = manifest["card"]
    scores = as_model_scores(card["scores"]) or ModelScores()
    parts = [
        ("Scores", _scores(scores)),
        ("Calibration", _calibration(scores)),
        ("Data", _data(scores)),
        ("Known limits", "\n".join(f"- {text}" for text in card["limits"])),
        ("Encoder", _encoders(manifest)),
        ("Agreement with the pipeline", _agreement(manifest)),
        ("Versions", ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()) + "."),
    ]
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in parts if text)


def headline(manifest: Mapping[str, Any]) -> str:
    """Tell its first score in a sentence; "" where it has none."""
    scores = as_model_scores(manifest["card"]["scores"]) or ModelScores()
    for name, found in scores.summary.items():
        if found["mean"] is not None:
            return f"Its {_name(name)} in cross-validation is {_interval(found)}."
    for name, values in scores.splits.items():
        metric, value = next(iter(values.items()))
        return f"Its {_name(metric)} on the split {as_code(name)} is {_number(value)}."
    return ""


def _scores(scores: ModelScores) -> str:
    parts = []
    if scores.folds:
        rows = [
            (_name(name), _interval(scores.summary[name]), ", ".join(map(_number, values)))
            for name, values in scores.folds.items()
        ]
        parts.append(f"In cross-validation: {scores.how}." if scores.how else "Of folds, as they were given.")
        parts.append(_table(("", "mean (95 % interval)", "each fold"), rows))
    if scores.splits:
        metrics = list(dict.fromkeys(metric for values in scores.splits.values() for metric in values))
        measured = [
            (as_code(name), *(_number(values.get(metric)) for metric in metrics))
            for name, values in scores.splits.items()
        ]
        parts.append("On splits that it was not fitted on:")
        parts.append(_table(("split", *map(_name, metrics)), measured))
    used = [*scores.folds, *(metric for values in scores.splits.values() for metric in values)]
    if explained := [f"- {shown}: {text}" for name, (shown, text) in _METRICS.items() if name in used]:
        parts.append("\n".join(explained))
    if scores.folds:
        parts.append(
            "The interval is of the mean, and allows for folds that share training images (Nadeau and Bengio, 2003). "
            "The model of this bundle was fitted on all of the images."
        )
    return "\n\n".join(parts)


def _calibration(scores: ModelScores) -> str:
    if not scores.reliability:
        return ""
    rows = [
        (
            f"{100 * entry['low']:.0f} to {100 * entry['high']:.0f} %",
            f"{entry['rows']:,}",
            f"{100 * entry['probability']:.1f} %",
            f"{100 * entry['right']:.1f} %",
        )
        for entry in scores.reliability
    ]
    return "\n\n".join(
        [
            f"![Of each bin of probability, how often the label was right]({DIAGRAM})",
            "Labels of cross-validation by their probability, and how many of them were right. Of those said with "
            f"90 %, 90 % should be; it is off by {100 * (scores.calibration_error or 0):.1f} % on average (expected "
            "calibration error).",
            _table(("probability", "images", "mean", "right"), rows),
        ]
    )


def _data(scores: ModelScores) -> str:
    parts = []
    if scores.rows is not None:
        left_out = f" Left out, for they cannot be read: {scores.left_out:,}." if scores.left_out else ""
        target = f" Its target goes from {scores.target[0]:g} to {scores.target[1]:g}." if scores.target else ""
        parts.append(f"It was fitted on {scores.rows:,} rows.{target}{left_out}")
    if scores.classes:
        shown = list(scores.classes.items())[:_MOST_CLASSES]
        rows = [(as_code(name), f"{n:,}") for name, n in shown]
        if more := len(scores.classes) - len(shown):
            rows.append((f"and {more:,} more", f"{sum(scores.classes.values()) - sum(n for _, n in shown):,}"))
        parts.append(_table(("class", "images"), rows))
    if scores.audit:
        found = scores.audit
        parts.append(
            f"An audit of {found['images']:,} images found {found['copies']:,} copies and near copies of others (in "
            f"{found['duplicate_groups']:,} groups, {found['conflicting_groups']:,} of them with different labels), "
            f"{found['label_issues']:,} labels that are likely wrong, {found['outliers']:,} outliers and "
            f"{found['blank']:,} blank images."
        )
    elif scores.copies == 0:
        parts.append("No two equal images are on both sides of a fold.")
    if scores.digest:
        parts.append(f"SHA-256 of the images and labels, in any order: `{scores.digest}`")
    return "\n\n".join(parts)


def _encoders(manifest: Mapping[str, Any]) -> str:
    lines = []
    for entry in manifest["inputs"]:
        if entry["kind"] == "image":
            encoder, pixels = entry["encoder"], entry["preprocess"]
            lines.append(
                f"- {as_code(encoder['name'])}, weights {as_code(encoder['weights'])}, whose license is "
                f"{encoder['license']}; an image becomes {pixels['size']} x {pixels['size']} pixels ({pixels['fit']})."
            )
    return "\n".join(dict.fromkeys(lines))


def _agreement(manifest: Mapping[str, Any]) -> str:
    found = manifest["verified"]
    parts = [f"On {found['rows']:,} rows this bundle and the pipeline that it was exported from were compared:"]
    if "labels_equal" in found:
        parts.append(f"{100 * found['labels_equal']:.4g} % of the labels are equal;")
    errors = [
        f"{name.removesuffix('_error')} {value:.0e}"
        for name, value in found.items()
        if name.endswith("_error") and value is not None
    ]
    parts.append(f"the largest differences are {', '.join(errors)}." if errors else "")
    return " ".join(parts).strip().removesuffix(";") + ("" if errors else ".")


def _licenses(content: Mapping[str, Any]) -> set[str]:
    return {entry["encoder"]["license"] for entry in content["inputs"] if entry["kind"] == "image"}


def _name(metric: str) -> str:
    return _METRICS[metric][0] if metric in _METRICS else as_code(metric)


def _interval(found: Mapping[str, float | None]) -> str:
    if found["low"] is None:
        return _number(found["mean"])
    return f"{_number(found['mean'])} ({_number(found['low'])} to {_number(found['high'])})"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def as_code(value: Any) -> str:
    """Quote what a user named: whatever is in it, it is no Markdown and no HTML."""
    text = " ".join(str(value).split()) or " "
    text = text if len(text) <= _LONG else text[: _LONG - 3] + "..."
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"`` {text} ``" if "`" in text else f"`{text}`"
