"""What an outsider may send: folders and archives are listed within limits, and nothing in them leads elsewhere."""

from __future__ import annotations

import hashlib
import io
import stat
import struct
import zipfile

import pytest

from privsynth import contents
from privsynth.contents import RefusedRelease, open_contents


def entry(name, *, mode=stat.S_IFREG | 0o644):
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # the constructor would tidy it
    info.external_attr = mode << 16
    return info


def archive_of(path, *entries, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for info, data in entries:
            archive.writestr(info, data, compress_type=compression)
    return path


def read_all(path) -> None:
    with open_contents(path) as found:
        for name in found.sizes:
            found.sha256(name)


def reason_of(path) -> str:
    with pytest.raises(RefusedRelease) as refusal:
        read_all(path)
    return refusal.value.reason


def test_files_of_an_archive_have_their_size_and_hash(tmp_path):
    path = archive_of(tmp_path / "a.zip", (entry("data/x.csv"), b"a,b\n"), (entry("m.json"), b"{}"))
    with open_contents(path) as found:
        assert dict(found.sizes) == {"data/x.csv": 4, "m.json": 2}
        assert found.sha256("data/x.csv") == hashlib.sha256(b"a,b\n").hexdigest()
        assert found.read("m.json", max_bytes=2) == b"{}"


def test_a_file_above_the_limit_is_not_read(tmp_path):
    path = archive_of(tmp_path / "a.zip", (entry("m.json"), b"{  }"))
    with open_contents(path) as found, pytest.raises(RefusedRelease, match="4 bytes; expected at most 3"):
        found.read("m.json", max_bytes=3)


@pytest.mark.parametrize(
    "name",
    ["../evil.csv", "data/../../evil.csv", "/etc/passwd", "C:/evil.csv", "..\\evil.csv", "a//b.csv", "./a.csv", "data/./a.csv", "a\0b"],
)
def test_paths_that_lead_out_are_refused(name, tmp_path):
    assert reason_of(archive_of(tmp_path / "a.zip", (entry("manifest.json"), b"{}"), (entry(name), b"x"))) == "path"


def test_a_name_given_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive_of(tmp_path / "a.zip", (entry("a.csv"), b"x"), (entry("a.csv"), b"y"))
    assert reason_of(path) == "path"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_an_archive_are_refused(kind, tmp_path):
    assert reason_of(archive_of(tmp_path / "a.zip", (entry("a.csv", mode=kind | 0o777), b"/etc/passwd"))) == "link"


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = archive_of(tmp_path / "a.zip", (entry("a.csv"), bytes(contents.RATIO_FROM_BYTES + 1)))
    assert path.stat().st_size * contents.MAX_RATIO < contents.RATIO_FROM_BYTES
    assert reason_of(path) == "too large"


def test_a_small_file_may_be_packed_well(tmp_path):
    path = archive_of(tmp_path / "a.zip", (entry("a.csv"), bytes(2**20)))
    with open_contents(path) as found:
        assert found.sha256("a.csv") == hashlib.sha256(bytes(2**20)).hexdigest()


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MAX_UNPACKED_BYTES", 10)
    assert reason_of(archive_of(tmp_path / "a.zip", (entry("a.csv"), b"x" * 6), (entry("b.csv"), b"y" * 5))) == "too large"


@pytest.mark.parametrize("limit", [3, 4])
def test_an_archive_of_too_many_files_is_refused_by_its_limit(limit, tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MAX_FILES", limit)
    path = archive_of(tmp_path / "a.zip", *[(entry(f"{number}.csv"), b"") for number in range(4)])
    if limit == 4:
        with open_contents(path) as found:
            assert len(found.sizes) == 4
    else:
        assert reason_of(path) == "too large"


def test_entries_are_counted_before_they_are_listed(tmp_path, monkeypatch):
    """Also across the border of two chunks."""
    monkeypatch.setattr(contents, "MAX_FILES", 2)
    monkeypatch.setattr(contents, "_CHUNK_BYTES", 7)
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x01\x02" * 5)
    with pytest.raises(RefusedRelease, match="names more than 4 entries"), open_contents(path):
        pass
    path.write_bytes(b"PK\x01\x02" * 4)
    assert reason_of(path) == "damaged archive"


def test_files_that_share_their_bytes_are_refused(tmp_path):
    """Overlapping entries, as in a bomb of many names for one block."""
    path = archive_of(tmp_path / "a.zip", (entry("a.csv"), b"x" * 500), compression=zipfile.ZIP_STORED)
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    one = data[start:end]
    more = one + b"".join(one.replace(b"a.csv", b"%c.csv" % letter) for letter in b"bcd")
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 4, 4, len(more))
    path.write_bytes(data[:start] + more + bytes(tail))
    assert reason_of(path) in ("too large", "damaged archive")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(compression, tmp_path):
    assert reason_of(archive_of(tmp_path / "a.zip", (entry("a.csv"), b"x"), compression=compression)) == "damaged archive"


def test_an_encrypted_archive_is_refused(tmp_path):
    path = archive_of(tmp_path / "a.zip", (entry("a.csv"), b"x"))
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\x01\x02") + 8
    data[place] |= 1
    path.write_bytes(data)
    assert reason_of(path) == "damaged archive"


def test_a_damaged_archive_is_refused(tmp_path):
    path = archive_of(tmp_path / "a.zip", (entry("a.csv"), bytes(range(256)) * 9), compression=zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    assert reason_of(path) == "damaged archive"
    path.write_bytes(path.read_bytes()[:100])
    assert reason_of(path) == "damaged archive"
    path.write_bytes(b"not an archive")
    assert reason_of(path) == "damaged archive"


def test_an_archive_of_folders_too_deep_is_refused(tmp_path):
    assert reason_of(archive_of(tmp_path / "a.zip", (entry("a/" * 20 + "b.csv"), b"x"))) == "too large"


def test_a_folder_of_too_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MAX_FILES", 2)
    folder = tmp_path / "release"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.csv").touch()
    assert reason_of(folder) == "too large"


def test_the_one_folder_of_an_archive_is_taken_off(tmp_path):
    path = archive_of(tmp_path / "a.zip", (entry("r/m.json"), b"{}"), (entry("r/data/x.csv"), b""))
    with open_contents(path) as found:
        assert set(found.sizes) == {"m.json", "data/x.csv"}


def test_nothing_is_written_by_looking(tmp_path):
    folder = tmp_path / "look"
    folder.mkdir()
    path = archive_of(folder / "a.zip", (entry("a.csv"), b"x"))
    before = path.read_bytes()
    with open_contents(path) as found:
        found.sha256("a.csv")
    assert [file.name for file in folder.iterdir()] == ["a.zip"]
    assert path.read_bytes() == before


def test_an_archive_in_an_archive_is_a_file_like_any_other(tmp_path):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("../evil", b"x")
    path = archive_of(tmp_path / "a.zip", (entry("inner.zip"), inner.getvalue()), (entry("b"), b""))
    with open_contents(path) as found:
        assert set(found.sizes) == {"inner.zip", "b"}
