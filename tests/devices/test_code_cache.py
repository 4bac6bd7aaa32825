"""Compiled kernels on disk: found again, never half, never more than allowed."""

import os
import threading

import pytest

from tfsession.devices.code_cache import FOLDER, CodeCache, folder
from tfsession.devices.nvrtc import compiler


def _key(source="x", options=(), arch="sm_90", version=(12, 9)):
    return CodeCache.key(source, options, arch, version)


def test_code_is_found_by_what_it_was_made_of(tmp_path):
    cache = CodeCache(tmp_path / "made" / "later")
    assert cache.get(_key()) is None
    cache.put(_key(), b"code")
    assert CodeCache(cache.path).get(_key()) == b"code"
    others = [_key("y"), _key(options=["-a"]), _key(arch="sm_80"), _key(version=(12, 8))]
    others += [_key("xs", arch="m_90"), _key(options=["-", "a"]), _key(options=["-a", ""])]
    assert len({_key(), *others}) == 8
    assert [cache.get(other) for other in others] == [None] * 7


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:50] + b"!" + content[51:],
        lambda content: b"",
        lambda content: b"garbage",
    ],
)
def test_what_is_not_whole_is_as_good_as_none(tmp_path, change):
    cache = CodeCache(tmp_path)
    cache.put(_key(), b"some code of a kernel")
    (file,) = tmp_path.iterdir()
    file.write_bytes(change(file.read_bytes()))
    assert cache.get(_key()) is None
    cache.put(_key(), b"some code of a kernel")
    assert cache.get(_key()) == b"some code of a kernel"


def test_a_file_under_another_name_is_none(tmp_path):
    cache = CodeCache(tmp_path)
    cache.put(_key(), b"code")
    (file,) = tmp_path.iterdir()
    file.rename(file.with_name(f"{_key('y')}.cubin"))
    assert cache.get(_key("y")) is None


def test_the_oldest_go_when_there_is_too_much(tmp_path):
    cache = CodeCache(tmp_path, most_bytes=1000)
    for number in range(9):
        cache.put(_key(str(number)), bytes(60))
        file = tmp_path / f"{_key(str(number))}.cubin"
        os.utime(file, (number, number))
    cache.get(_key("0"))  # used last
    cache.put(_key("9"), bytes(61))
    assert cache.get(_key("0")) and cache.get(_key("9"))
    assert cache.get(_key("1")) is None
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 600


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path):
    (tmp_path / "file").write_text("no folder")
    cache = CodeCache(tmp_path / "file")
    cache.put(_key(), b"code")
    assert cache.get(_key()) is None


def test_threads_that_keep_the_same_find_it_whole(tmp_path):
    cache, code = CodeCache(tmp_path), os.urandom(100_000)
    seen = []

    def work():
        for _ in range(10):
            cache.put(_key(), code)
            seen.append(cache.get(_key()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {code}
    assert [file.suffix for file in tmp_path.iterdir()] == [".cubin"]


def test_the_folder_is_the_users_or_what_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv(FOLDER, str(tmp_path / "told"))
    assert folder() == tmp_path / "told"
    monkeypatch.delenv(FOLDER)
    assert folder().name == "tfsession"


def test_the_compiler_knows_its_version():
    found = compiler()
    if found is not None:
        assert found.version >= (12, 0)
        assert found is compiler()
