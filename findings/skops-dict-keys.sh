#!/usr/bin/env bash
# skops 0.16.0: a dict with bool keys loses entries when it is saved and loaded, and so does one with keys 0 and "0".
#
# Guess: dicts of plain keys come back as they were, or dumping refuses them.
# Seen:  class_weight={True: 1.0, False: 2.0} comes back as {True: 2.0}, and {0: 1.0, 1: 3.0, "0": 9.0} as
#        {0: 9.0, 1: 3.0}, without a warning: keys go through JSON as text, and the types are applied to the text, where
#        bool("False") is True. {1: 1.0, 2: 2.0} comes back right.
# Works: pip in a temporary folder; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check skops==0.16.0 scikit-learn==1.9.1 numpy==2.3.5
"$work/venv/bin/python" - <<'PY'
import skops.io as sio
from sklearn.linear_model import LogisticRegression

seen = [
    ({1: 1.0, 2: 2.0}, {1: 1.0, 2: 2.0}),
    ({True: 1.0, False: 2.0}, {True: 2.0}),
    ({0: 1.0, 1: 3.0, "0": 9.0}, {0: 9.0, 1: 3.0}),
]
for given, expected in seen:
    back = sio.loads(sio.dumps(LogisticRegression(class_weight=given))).class_weight
    print(given, "->", back)
    assert back == expected, "it was another behaviour"
PY
