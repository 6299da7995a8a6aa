"""A result with figures of one's choice."""

from __future__ import annotations

from featx.bench import BenchResult, PeerResult

PEERS = (
    PeerResult("slow", "1.0", "net", rates=(18.0, 20.0, 21.0)),
    PeerResult("absent", reason="not installed: pip install 'absent'"),
)


def make_result(
    *,
    decode: float = 300.0,
    encode: float = 100.0,
    whole: float = 60.0,
    device: str = "cpu",
    left_out: tuple = (),
    peers: tuple = PEERS,
) -> BenchResult:
    return BenchResult(
        encoder="resnet18",
        weights="random",
        precision="float32",
        runtime="torch",
        device=device,
        dim=512,
        batch_size=8,
        n_threads=2,
        n_images=12,
        left_out=left_out,
        rates={"decode": (decode,) * 3, "encode": (encode,) * 3, "whole": (whole,) * 3, "warm": (9000.0,) * 3},
        difference=3e-7,
        peers=peers,
    )
