#!/usr/bin/env bash
# s3fs 2026.9.0: what a bucket refuses to delete is not deleted, and rm and mv say nothing.
#
# Guess: rm of an object that the bucket's policy protects is a PermissionError, as rm_file is; mv fails, or leaves one copy.
# Seen:  rm(path), rm([path, ...]) and rm(folder, recursive=True) return without an error, the last with the folder's name:
#        S3 answers DeleteObjects with status 200 and a list of errors, which is not read. mv leaves the object in both
#        places.
# So:    after rm, ask whether it is gone.
# Works: pip in a temporary folder, moto's server on loopback; exit 0 while this is so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check s3fs==2026.9.0 "moto[s3,server]==5.2.5" boto3
"$work/venv/bin/python" - <<'PY'
import json
import logging

import s3fs
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").disabled = True
server = ThreadedMotoServer(port=0, verbose=False)
server.start()
url = "http://{}:{}".format(*server.get_host_and_port())
fs = s3fs.S3FileSystem(endpoint_url=url, key="key", secret="secret", client_kwargs={"region_name": "us-east-1"})
fs.call_s3("create_bucket", Bucket="photos")
for name in ("kept/a", "kept/b", "other/c"):
    fs.pipe_file(f"photos/{name}", b"1")
kept = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::photos/kept/*"}
fs.call_s3("put_bucket_policy", Bucket="photos", Policy=json.dumps({"Version": "2012-10-17", "Statement": [kept]}))


def there():
    fs.invalidate_cache()
    return sorted(path.removeprefix("photos/") for path in fs.find("photos"))


try:
    fs.rm_file("photos/kept/a")
    raised = ""
except PermissionError as error:
    raised = repr(error)
answers = {
    "rm(path)": fs.rm("photos/kept/a"),
    "rm(paths)": fs.rm(["photos/kept/a", "photos/other/c"]),
    "rm(folder, recursive=True)": fs.rm("photos/kept", recursive=True),
}
after = there()
fs.mv("photos/kept/a", "photos/moved")
print("rm_file:", raised)
for way, answer in answers.items():
    print(f"{way}: {answer}")
print("there:", after, "and after mv", there())
assert raised, "it was another behaviour"
assert after == ["kept/a", "kept/b"], "it was another behaviour"
assert there() == ["kept/a", "kept/b", "moved"], "it was another behaviour"
server.stop()
PY
