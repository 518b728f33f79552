"""Finding data files, against a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from models.data.fetch import DataFile, cache_folder, fetch, find
from models.refusals import BadFile

CONTENT = b"four bytes and some more"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = b"something else altogether"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder and keeps the paths asked for in `server.asked`."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Keep stderr clean."""


class Home:
    """A public home of data files: a folder that is served, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.server.asked = []  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def asked(self) -> list[str]:
        return list(self.server.asked)  # type: ignore[attr-defined]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{name}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    served = Home(tmp_path / "home")
    yield served
    served.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no other setting of the environment."""
    for name in ("INTERP_DATA_DIR", "INTERP_OFFLINE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("INTERP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def data_file(*urls: str) -> DataFile:
    return DataFile("letters/a.bin", SHA256, urls)


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_good_file_is_downloaded_once(home: Home, cache: Path) -> None:
    (home.folder / "a.bin").write_bytes(CONTENT)
    file = data_file(home.url("a.bin"))
    assert fetch(file) == cache / "letters" / "a.bin"
    assert fetch(file).read_bytes() == CONTENT
    assert home.asked == ["/a.bin"]
    assert files_below(cache) == ["a.bin"]


def test_a_wrong_checksum_is_refused_and_nothing_is_left(home: Home, cache: Path) -> None:
    (home.folder / "a.bin").write_bytes(OTHER)
    with pytest.raises(BadFile, match=r"letters/a\.bin could not be had.*hash.*It may come from http"):
        fetch(data_file(home.url("a.bin")))
    assert files_below(cache) == []


def test_a_truncated_download_is_refused_and_the_next_home_is_asked(home: Home, cache: Path) -> None:
    (home.folder / "cut.bin").write_bytes(CONTENT[:10])
    (home.folder / "a.bin").write_bytes(CONTENT)
    assert fetch(data_file(home.url("cut.bin"), home.url("a.bin"))).read_bytes() == CONTENT


def test_the_second_home_is_asked_when_the_first_has_no_such_file(home: Home, cache: Path) -> None:
    (home.folder / "a.bin").write_bytes(CONTENT)
    assert fetch(data_file(home.url("gone.bin"), home.url("a.bin"))).read_bytes() == CONTENT
    assert home.asked == ["/gone.bin", "/a.bin"]


def test_when_no_home_answers_all_failures_are_told(home: Home, cache: Path) -> None:
    closed = Home(cache.parent / "closed")
    url = closed.url("a.bin")
    closed.close()
    with pytest.raises(BadFile, match=r"ConnectionError.*HTTPError: 404.*save it as letters/a\.bin"):
        fetch(data_file(url, home.url("gone.bin")))


def test_offline_nothing_is_asked(home: Home, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home.folder / "a.bin").write_bytes(CONTENT)
    monkeypatch.setenv("INTERP_OFFLINE", "1")
    with pytest.raises(
        BadFile, match=r"letters/a\.bin is not here, and INTERP_OFFLINE forbids.*may come from"
    ):
        fetch(data_file(home.url("a.bin")))
    assert home.asked == []
    monkeypatch.setenv("INTERP_OFFLINE", "0")
    assert fetch(data_file(home.url("a.bin"))).read_bytes() == CONTENT


def test_offline_the_cache_still_serves(home: Home, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "letters").mkdir(parents=True)
    (cache / "letters" / "a.bin").write_bytes(CONTENT)
    monkeypatch.setenv("INTERP_OFFLINE", "1")
    assert fetch(data_file(home.url("a.bin"))).read_bytes() == CONTENT
    (cache / "letters" / "a.bin").write_bytes(OTHER)
    with pytest.raises(BadFile, match=r"a\.bin is truncated or altered: 25 bytes"):
        fetch(data_file(home.url("a.bin")))


def test_an_altered_file_in_the_cache_is_replaced(home: Home, cache: Path) -> None:
    (home.folder / "a.bin").write_bytes(CONTENT)
    (cache / "letters").mkdir(parents=True)
    (cache / "letters" / "a.bin").write_bytes(OTHER)
    assert fetch(data_file(home.url("a.bin"))).read_bytes() == CONTENT


def test_the_data_folder_comes_first(home: Home, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = cache.parent / "own"
    (own / "letters").mkdir(parents=True)
    (own / "letters" / "a.bin").write_bytes(CONTENT)
    monkeypatch.setenv("INTERP_DATA_DIR", str(own))
    assert fetch(data_file(home.url("a.bin"))) == own / "letters" / "a.bin"
    assert home.asked == []
    assert not cache.exists()


def test_an_altered_file_in_the_data_folder_is_an_error(
    home: Home, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.folder / "a.bin").write_bytes(CONTENT)
    own = cache.parent / "own"
    (own / "letters").mkdir(parents=True)
    (own / "letters" / "a.bin").write_bytes(CONTENT[:-1])
    monkeypatch.setenv("INTERP_DATA_DIR", str(own))
    for look in (fetch, find):
        with pytest.raises(BadFile, match=r"a\.bin is truncated or altered: 23 bytes.*may come from http"):
            look(data_file(home.url("a.bin")))


def test_a_data_folder_that_does_not_exist_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERP_DATA_DIR", str(cache.parent / "mistyped"))
    with pytest.raises(BadFile, match=r"INTERP_DATA_DIR names .*mistyped, which is no folder"):
        find(data_file())


def test_an_optional_file_is_never_downloaded(home: Home, cache: Path) -> None:
    (home.folder / "a.bin").write_bytes(CONTENT)
    assert find(data_file(home.url("a.bin"))) is None
    assert home.asked == []


def test_a_cache_that_cannot_be_written_is_told(home: Home, cache: Path) -> None:
    (home.folder / "a.bin").write_bytes(CONTENT)
    cache.write_text("a file where the folder should be")
    with pytest.raises(BadFile, match=r"letters/a\.bin could not be had"):
        fetch(data_file(home.url("a.bin")))


def test_the_cache_is_the_users_own_unless_told_otherwise(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("INTERP_CACHE_DIR")
    assert cache_folder().name == "interp-lab"
    assert cache_folder().is_relative_to(Path.home())
