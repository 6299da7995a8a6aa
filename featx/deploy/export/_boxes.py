"""Write what operators put a bundle into: a container image, a systemd unit, a Kubernetes deployment.

They serve with the same options. Their files are not in the manifest: operators adapt them, and a bundle whose listed
files have changed is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PORT = 8000
_USER = 10001
_THREADS = 2
_QUEUE = 16
_MAX_PIXELS = 25_000_000  # photos of most cameras
_UNIT = "image-model.service"

# 20 bytes a pixel for each thread, 20 MB for each request in the queue, 0.3 GB for the process and its network.
_MEMORY = "2 threads x 25 megapixels x 20 bytes + 16 requests x 20 MB + 0.3 GB for the rest = 1.6 GB"

_DOCKERFILE = """\
# The image has the files of the bundle, Python and the requirements; it writes nowhere but to /tmp.
FROM python:{python}-slim
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /bundle
# Before the model, so that a new model does not install them again.
COPY ["requirements.txt", "requirements-serve.txt", "./"]
RUN ["pip", "install", "--no-cache-dir", "--disable-pip-version-check", "-r", "requirements-serve.txt"]
COPY [".", "./"]
# A number, so that Kubernetes can see that it is not root. It owns no file here.
USER {user}:{user}
EXPOSE {port}
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "{check}"]
# {memory}.
CMD ["python", "serve.py", "--host", "0.0.0.0", {quoted}]
"""
_CHECK = "from urllib.request import urlopen; urlopen('http://127.0.0.1:{port}/health', timeout=4)"

_SYSTEMD = """\
[Unit]
Description=An image model over HTTP
After=network.target
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=exec
ExecStart=/opt/image-model/venv/bin/python /opt/image-model/bundle/serve.py --host 127.0.0.1 {options}
ExecReload=/bin/kill -HUP $MAINPID
Environment=PYTHONDONTWRITEBYTECODE=1
Restart=on-failure
RestartSec=2
# The bundle or an option cannot be used: starting again would not help.
RestartPreventExitStatus=2
# Longer than serve.py waits for requests under way.
TimeoutStopSec=40
# {memory}.
MemoryMax=2G
TasksMax=256

# A user of its own, who reads what all may read and writes to a private /tmp.
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
"""

_KUBERNETES = """\
# kubectl apply -f kubernetes.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: image-model
  labels:
    app: image-model
spec:
  replicas: 2
  selector:
    matchLabels:
      app: image-model
  template:
    metadata:
      labels:
        app: image-model
    spec:
      automountServiceAccountToken: false
      # Longer than serve.py waits for requests under way.
      terminationGracePeriodSeconds: 40
      securityContext:
        runAsNonRoot: true
        runAsUser: {user}
        runAsGroup: {user}
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: serve
          image: image-model:1
          args: ["python", "serve.py", "--host", "0.0.0.0", {quoted}]
          ports:
            - name: http
              containerPort: {port}
          # {memory}.
          resources:
            requests:
              cpu: "1"
              memory: 512Mi
            limits:
              cpu: "{threads}"
              memory: 2Gi
          # Restarted where the process does not answer; asked for nothing where the model does not.
          livenessProbe:
            httpGet:
              path: /health
              port: http
            initialDelaySeconds: 30
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /ready
              port: http
            periodSeconds: 5
            timeoutSeconds: 5
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: ["ALL"]
          # For requests that are too large to be kept in memory.
          volumeMounts:
            - name: tmp
              mountPath: /tmp
      volumes:
        - name: tmp
          emptyDir:
            sizeLimit: 512Mi
---
apiVersion: v1
kind: Service
metadata:
  name: image-model
spec:
  selector:
    app: image-model
  ports:
    - name: http
      port: 80
      targetPort: http
"""

_TEXTS = {
    "docker": ("Dockerfile", _DOCKERFILE),
    "systemd": (_UNIT, _SYSTEMD),
    "kubernetes": ("kubernetes.yaml", _KUBERNETES),
}

README = {
    "docker": f"""
## In a container

`Dockerfile` builds an image from this folder: a slim Python, the requirements, then the bundle, so that a new model
installs nothing again. It serves as a user that owns no file, tells by `HEALTHCHECK` whether it answers, and predicts
{_THREADS} images of at most {_MAX_PIXELS // 10**6} megapixels at a time. `.dockerignore` lets in the files of the
bundle alone.

```sh
docker build -t image-model:1 .
docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \\
  --memory 2g --cpus {_THREADS} -p 127.0.0.1:{_PORT}:{_PORT} image-model:1
```
""",
    "systemd": f"""
## Under systemd

`{_UNIT}` runs `serve.py` as a user that systemd makes for it, who can write nowhere but to a `/tmp` of its
own, with at most 2 GB of memory, and starts it again when it fails. `systemctl reload` has it take the bundle that lies
in its folder then. As root, with this folder's content in `/opt/image-model/bundle`, readable for all:

```sh
python3 -m venv /opt/image-model/venv
/opt/image-model/venv/bin/pip install -r /opt/image-model/bundle/requirements-serve.txt
cp /opt/image-model/bundle/{_UNIT} /etc/systemd/system/
systemctl daemon-reload
systemctl enable --now {_UNIT}
```
""",
    "kubernetes": """
## In Kubernetes

`kubernetes.yaml` is an example to adapt: a Deployment of two copies of the image `image-model:1`, and a Service in
front of them. A copy gets requests while `/ready` says that its model answers, and is restarted when `/health` does not
answer at all. It runs without privileges, on a file system that it cannot write to but for `/tmp`, with limits of
memory and processors that its options stay below. `featx export ... --with docker` writes a Dockerfile for the image.

```sh
kubectl apply -f kubernetes.yaml
kubectl port-forward service/image-model 8000:80
```
""",
}


def write_boxes(folder: Path, names: Iterable[str], manifest: dict[str, Any]) -> None:
    """Write the files of some boxes beside a bundle.

    Parameters
    ----------
    folder : Path
        The bundle's folder, with all its files.
    names : iterable of {"docker", "systemd", "kubernetes"}
        The boxes.
    manifest : dict
        The bundle's manifest.
    """
    limits = {
        "--n-jobs": _THREADS,
        "--queue": _QUEUE,
        "--max-pixels": min(_MAX_PIXELS, manifest["image"]["max_pixels"]),
    }
    words = [str(word) for pair in {"--port": _PORT, **limits}.items() for word in pair]
    values = {
        "check": _CHECK.format(port=_PORT),
        "memory": _MEMORY,
        "options": " ".join(words),
        "port": _PORT,
        "python": ".".join(manifest["versions"]["python"].split(".")[:2]),
        "quoted": ", ".join(f'"{word}"' for word in words),
        "threads": _THREADS,
        "user": _USER,
    }
    texts = {
        "docker": ("Dockerfile", _DOCKERFILE),
        "systemd": (_UNIT, _SYSTEMD),
        "kubernetes": ("kubernetes.yaml", _KUBERNETES),
    }
    for name in names:
        file, text = texts[name]
        (folder / file).write_bytes(text.format(**values).encode())
    if "docker" in names:
        (folder / ".dockerignore").write_bytes(_ignore_others(manifest["files"]).encode())


def _ignore_others(files: Iterable[str]) -> str:
    """Let in the bundle's files alone: keys, environments and caches that lie beside them stay out of images."""
    inside = sorted({"bundle.json", *(name.split("/")[0] for name in files)})
    return "\n".join(["*", *(f"!{name}" for name in inside), "**/__pycache__"]) + "\n"
