from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import featx
from featx._manifest import digest_file
from featx.deploy._tensors import pixel_path
from featx.deploy.export._package import COPIED, head_requirements
from featx.exceptions import MissingDependencyError
from featx.images import PixelPath, Preprocess, to_pixels
from tests.deploy.service.serving import Running, as_base64
from tests.images.tiffs import Page, write_tiff

PACKAGE = Path(featx.__file__).parent


def test_what_reads_a_bundle_is_copied_byte_for_byte(bundle):
    for name in COPIED:
        assert (bundle.folder / "predictor" / name).read_bytes() == (PACKAGE / name).read_bytes(), name


def test_the_manifest_has_the_digest_of_every_file_but_itself(bundle):
    files = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.rglob("*") if path.is_file()}
    manifest = json.loads((bundle.folder / "bundle.json").read_text())
    assert set(manifest["files"]) == files - {"bundle.json"}
    for name, digest in manifest["files"].items():
        assert digest_file(bundle.folder / name) == digest
    assert manifest == bundle.manifest


def test_requirements_are_four_packages_and_a_service_needs_eight_more(bundle):
    needed = (bundle.folder / "requirements.txt").read_text().split()
    assert [line.partition(">=")[0] for line in needed] == ["numpy", "onnxruntime", "pillow", "simplejpeg"]
    serve = (bundle.folder / "requirements-serve.txt").read_text().splitlines()
    assert serve[0] == "-r requirements.txt"
    assert [line.partition(">=")[0] for line in serve[1:]] == [
        "fastapi",
        "fastapi-offline",
        "httptools",
        "prometheus-client",
        "pydantic",
        "python-multipart",
        "starlette",
        "uvicorn",
    ]


def test_a_head_of_scikit_learn_needs_the_very_version():
    import sklearn

    assert head_requirements(False)[0] == f"scikit-learn=={sklearn.__version__}"
    assert any(line.startswith("pandas") for line in head_requirements(True))


def test_odd_images_have_the_same_pixels_where_featx_is_not_installed(bundle, tmp_path):
    icon = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    icon.paste((255, 255, 255, 255), (8, 8, 24, 24))
    samples = np.random.default_rng(0).integers(0, 4096, (20, 30, 3), dtype=np.uint16)
    icon.save(tmp_path / "icon.png")
    (tmp_path / "deep.tif").write_bytes(write_tiff(Page(samples, 12, 2, planar=True)))
    (tmp_path / "deep.ppm").write_bytes(b"P6 30 20 4095\n" + samples.astype(">u2").tobytes())
    files = sorted(str(file) for file in tmp_path.iterdir())
    code = (
        "import sys; from hashlib import sha256; from predictor.images._read import to_pixels;"
        "[print(sha256(to_pixels(file).tobytes()).hexdigest()) for file in sys.argv[1:]];"
        "assert 'featx' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *files], cwd=bundle.folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [sha256(to_pixels(file).tobytes()).hexdigest() for file in files]


@pytest.fixture(scope="module")
def fast_bundle(tiny, photos, tmp_path_factory):
    pytest.importorskip("cykooz_resizer", reason="needs pip install 'featx[fast]'")
    encoder = featx.ImageEncoder(tiny, decode="fast", cache=False, verbose=0)
    return featx.export_bundle(encoder, tmp_path_factory.mktemp("fast") / "bundle", sample=[photos[0], photos[1]])


def test_a_bundle_of_a_fast_encoder_names_the_package_that_resizes(fast_bundle):
    assert "cykooz-resizer" in (fast_bundle.folder / "requirements.txt").read_text()
    assert "cykooz-resizer on Linux ARM" in (fast_bundle.folder / "README.md").read_text()
    (entry,) = fast_bundle.manifest["inputs"]
    assert entry["decode"] == "fast"
    assert "at_least" not in entry  # with which an older reader would resize by Pillow


def test_fast_pixels_are_the_same_where_featx_is_not_installed(fast_bundle, photos, tmp_path):
    (entry,) = fast_bundle.manifest["inputs"]
    Image.fromarray(photos[0]).save(tmp_path / "photo.jpg")
    code = (
        "import sys; from hashlib import sha256; from predictor import Predictor; predictor = Predictor();"
        "print(sha256(predictor._tensors[0].path.pixels(sys.argv[1])).hexdigest());"
        "assert 'featx' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "photo.jpg")]
    done = subprocess.run(command, cwd=fast_bundle.folder, capture_output=True, text=True, check=True)
    pixels = PixelPath(Preprocess(**entry["preprocess"]), "fast").pixels(tmp_path / "photo.jpg")
    assert done.stdout.strip() == sha256(pixels).hexdigest()


def test_a_fast_bundle_without_the_package_that_resizes_is_an_error(fast_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "cykooz_resizer", None)
    with pytest.raises(MissingDependencyError, match="cykooz-resizer"):
        featx.Predictor(fast_bundle)


def test_a_fast_bundle_of_before_that_package_keeps_its_pixels():
    entry = {"preprocess": {"size": 64}, "at_least": 128}
    assert pixel_path(entry, 1000) == PixelPath(Preprocess(size=64), "fast:1", 1000)
    assert PixelPath(Preprocess(size=64), "fast:1").at_least == entry["at_least"]


@pytest.mark.parametrize("program", ["predict.py", "serve.py"])
def test_ctrl_c_while_a_program_is_imported_ends_it_quietly(bundle, tmp_path, program):
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")  # as it looks to who imports numpy then
    command = [sys.executable, str(bundle.folder / program), "photos"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("program", "module", "todo"),
    [
        ("predict.py", "numpy", "pip install -r requirements.txt"),
        ("serve.py", "uvicorn", "pip install -r requirements-serve.txt"),
        ("serve.py", "predictor.deploy.service._server", "Copy the bundle again"),
    ],
)
def test_a_program_without_a_module_says_what_to_do(bundle, program, module, todo):
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.modules[sys.argv[3]] = None;"
        "runpy.run_path(f'{sys.argv[1]}/{sys.argv[2]}', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, str(bundle.folder), program, module]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{program}: error: ")
    assert todo in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readmes_requests_are_answered(bundle, table_bundle, encoder_bundle, jpegs, tmp_path):
    (tmp_path / "new.jpg").write_bytes(jpegs[0])
    for made in (bundle, table_bundle, encoder_bundle):
        lines = (made.folder / "README.md").read_text().splitlines()
        requests = [line for line in lines if line.startswith("curl ")]
        assert len(requests) == (2 if made is table_bundle else 3)  # an image alone is no row of a table
        with Running(made.folder, tmp_path / "log") as running:
            for line in requests:
                command = line.replace("http://localhost:8000", running.url).replace("BASE64", as_base64(jpegs[0])[0])
                done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True)
                (rows, _) = json.loads(done.stdout).values()
                assert [row["error"] for row in rows] == [""]


def test_the_readmes_command_runs(bundle, table_bundle, files, tmp_path):
    for made in (bundle, table_bundle):
        readme = (made.folder / "README.md").read_text()
        line = next(line for line in readme.splitlines() if line.startswith("python -c"))
        code = line.split("'", 1)[1].rsplit("'", 1)[0].replace("new.jpg", files[0])
        done = subprocess.run([sys.executable, "-c", code], cwd=made.folder, capture_output=True, text=True, check=True)
        assert "'error': ''" in done.stdout
        for entry in made.manifest["inputs"]:
            assert f"`{entry['tensor']}`" in readme
