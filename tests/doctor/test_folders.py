from __future__ import annotations

import os
from pathlib import Path

import pytest

from featx.doctor._folders import check_folder, check_folders, network_kind


def test_both_caches_are_looked_at(own_folders):
    findings = check_folders()
    assert [(finding.status, finding.what) for finding in findings] == [
        *(("ok", "cache of embeddings"), ("ok", "cache of networks"))
    ]
    assert findings[0].value.startswith(str(own_folders / "embeddings"))


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    finding = check_folder("cache", tmp_path / "a" / "b")
    assert finding.status == "ok"
    assert "made when it is needed" in finding.value
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("path", ["/proc/featx", "/dev/null/featx"])
def test_what_cannot_be_written_is_a_warning(path):
    finding = check_folder("cache", Path(path))
    assert finding.status == "warn"
    assert "FEATX_CACHE" in finding.advice


MOUNTS = "/dev/sda / ext4 rw 0 0\nserver:/home /home nfs4 rw 0 0\n/dev/sdb /home/ada/local\\040disk ext4 rw 0 0\n"


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/tmp", None), ("/home", "nfs4"), ("/home/ada", "nfs4"), ("/home/ada/local disk/x", None), ("/homes", None)],
)
def test_the_closest_mount_decides(folder, kind, tmp_path):
    (tmp_path / "mounts").write_text(MOUNTS)
    assert network_kind(Path(folder), tmp_path / "mounts") == kind
    assert network_kind(Path(folder), tmp_path / "nowhere") is None
