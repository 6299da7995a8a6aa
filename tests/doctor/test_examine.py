from __future__ import annotations

import json
import subprocess
import sys

from tests.test_init import HEAVY

CODE = """
import json, sys
from featx.doctor import examine
findings = [(finding.status, finding.what, finding.value) for finding in examine(sys.argv[1])]
print(json.dumps([findings, sorted(sys.modules)]))
"""


def test_this_machine_is_well_and_its_examination_imports_nothing_compiled(files):
    done = subprocess.run([sys.executable, "-c", CODE, files[0]], capture_output=True, text=True, check=True)
    findings, modules = json.loads(done.stdout)
    assert [finding for finding in findings if finding[0] == "bad"] == []
    names = [what for _, what, _ in findings]
    assert names[:3] == ["processor", "vector instructions", "memory"]
    assert names[-2:] == ["images", "encoding"]
    assert {"import numpy", "import PIL", "import torch", "import openvino"} <= set(names)
    assert not set(modules) & {"sklearn", "pandas", "numpy", "PIL", *HEAVY}
