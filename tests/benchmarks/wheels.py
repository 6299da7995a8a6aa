"""Which requirements of a bundle have a wheel, for each kind of machine: what pip finds, installing nothing.

    python -m tests.benchmarks.wheels --python-version 3.12

Where a package has no wheel, pip would build it from source: that takes compilers, and often does not succeed.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile

from featx.deploy.export._package import (
    _REQUIREMENTS,
    _REQUIREMENTS_SERVE,
    head_requirements,
    pixel_requirements,
)

# The oldest systems first. Of a macOS pip knows the older ones by itself.
PLATFORMS = {
    "Linux x86-64": [f"manylinux{version}_x86_64" for version in ("2014", "_2_27", "_2_28")],
    "Linux ARM": [f"manylinux{version}_aarch64" for version in ("2014", "_2_27", "_2_28")],
    "Alpine x86-64": ["musllinux_1_1_x86_64", "musllinux_1_2_x86_64"],
    "Windows x86-64": ["win_amd64"],
    "macOS ARM": ["macosx_14_0_arm64"],
}
FAST = pixel_requirements({"inputs": [{"kind": "image", "decode": "fast"}]})
# With what is compiled of what they need themselves.
REQUIREMENTS = {
    "every bundle": _REQUIREMENTS,
    "its service": [*(line for line in _REQUIREMENTS_SERVE if not line.startswith("-r")), "pydantic-core>=2"],
    "decode='fast'": FAST,
    "a head of scikit-learn": [*head_requirements(has_values=True), "scipy"],
    "HEIC photos": ["pillow-heif>=1.1"],
}
_NONE = re.compile(r"No matching distribution found for ([\w.-]+)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python-version", default="3.12")
    arguments = parser.parse_args()
    found = {name: find_wheels(platforms, arguments.python_version) for name, platforms in PLATFORMS.items()}
    print(f"| Python {arguments.python_version} | of | {' | '.join(found)} |")
    print("|---" * (len(found) + 2) + "|")
    for of, lines in REQUIREMENTS.items():
        for name in map(name_of, lines):
            print(f"| {name} | {of} | {' | '.join(wheels.get(name, 'none') for wheels in found.values())} |")


def find_wheels(platforms: list[str], python: str) -> dict[str, str]:
    """Name -> version of the newest wheel that fits, for each requirement that has one."""
    wanted = [line for lines in REQUIREMENTS.values() for line in lines]
    while True:
        done = ask_pip(wanted, platforms, python)
        if done.returncode == 0:
            report = json.loads(done.stdout)["install"]
            return {name_of(entry["metadata"]["name"]): entry["metadata"]["version"] for entry in report}
        lacking = _NONE.search(done.stderr)
        left = [line for line in wanted if not lacking or name_of(line) != lacking[1]]
        if len(left) == len(wanted):
            raise SystemExit(done.stderr)
        wanted = left


def ask_pip(requirements: list[str], platforms: list[str], python: str) -> subprocess.CompletedProcess[str]:
    fits = [option for platform in platforms for option in ("--platform", platform)]
    how = ["--dry-run", "--quiet", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--report", "-"]
    with tempfile.TemporaryDirectory() as target:  # pip wants one; nothing is written to it
        command = [sys.executable, "-m", "pip", "install", *how, "--target", target, "--python-version", python]
        return subprocess.run([*command, *fits, *requirements], capture_output=True, text=True, check=False)


def name_of(requirement: str) -> str:
    """Return the name as indexes write it: packages spell their own in other ways too."""
    return re.sub("[-_.]+", "-", re.split("[<>=!~; ]", requirement, maxsplit=1)[0]).lower()


if __name__ == "__main__":
    main()
