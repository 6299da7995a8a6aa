from __future__ import annotations

from pathlib import Path

from featx._cache_folder import default_location, user_folder


def test_the_environment_names_the_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("FEATX_CACHE", "~/kept")
    assert default_location() == Path("/home/ada/kept")


def test_else_it_is_the_users_own(monkeypatch, own_folders):
    monkeypatch.delenv("FEATX_CACHE")
    assert default_location() == user_folder() / "embeddings" == own_folders / "cache" / "featx" / "embeddings"
