"""Our tars, read by others, and by us when damaged."""

import io
import tarfile
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.tar import BLOCK, RECORD, Member, header, read_tar, write_tar

NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=100).filter(
    lambda name: not name.endswith("/")
)
MEMBERS = st.lists(st.builds(Member, NAMES, st.binary(max_size=1500)), max_size=8)
SAMPLES = [
    Member(f"{key}.{kind}", f"{kind} of {key}".encode() * 60)
    for key in ("00000001-0000", "00000000-0003")
    for kind in ("cls", "jpg", "json")
]


@settings(deadline=None, max_examples=60)
@given(MEMBERS)
def test_pythons_tarfile_and_our_reader_find_the_same_members(members: list[Member]) -> None:
    data, offsets = write_tar(members)
    assert list(read_tar(data)) == members
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        found = tar.getmembers()
        assert [(info.name, info.size, info.offset_data) for info in found] == [
            (member.name, len(member.data), offset) for member, offset in zip(members, offsets, strict=True)
        ]
        for info, member in zip(found, members, strict=True):
            file = tar.extractfile(info)
            assert file is not None
            assert file.read() == member.data
    for member, offset in zip(members, offsets, strict=True):
        assert data[offset : offset + len(member.data)] == member.data


def test_the_header_says_what_pythons_tarfile_would_say() -> None:
    """Byte for byte, but for the device numbers of a plain file, which some write as zeros and some leave empty."""
    info = tarfile.TarInfo("00000001-0000.jpg")
    info.size = 123_456
    ours, theirs = header(info.name, info.size), info.tobuf(tarfile.USTAR_FORMAT)
    for field in (slice(329, 345), slice(148, 156)):  # device numbers, and the checksum over them
        ours, theirs = (raw[: field.start] + raw[field.stop :] for raw in (ours, theirs))
    assert ours == theirs


def test_a_tar_ends_on_a_whole_record_as_pythons_does() -> None:
    for size in (0, 1, RECORD - 3 * BLOCK, RECORD - 3 * BLOCK + 1, RECORD):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            info = tarfile.TarInfo("a")
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
        data, _ = write_tar([Member("a", bytes(size))])
        assert len(data) == len(buffer.getvalue())
        assert not any(data[BLOCK:])


def test_webdataset_reads_samples(tmp_path: Path) -> None:
    path = tmp_path / "000000.tar"
    path.write_bytes(write_tar(SAMPLES)[0])
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["00000001-0000", "00000000-0003"]
    assert [sample[kind] for sample in samples for kind in ("cls", "jpg", "json")] == [s.data for s in SAMPLES]


@settings(deadline=None, max_examples=200)
@given(st.integers(0, BLOCK - 1), st.integers(1, 255))
def test_damage_to_any_byte_of_a_header_is_noticed(byte: int, flip: int) -> None:
    data, offsets = write_tar(SAMPLES)
    for offset in (offsets[0], offsets[-1]):
        damaged = bytearray(data)
        damaged[offset - BLOCK + byte] ^= flip
        with pytest.raises(ValueError, match=f"the tar header at byte {offset - BLOCK} is damaged"):
            list(read_tar(bytes(damaged)))


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_tar_cut_short_is_noticed_wherever_it_ends(data: st.DataObject) -> None:
    whole, offsets = write_tar(SAMPLES)
    end = data.draw(st.integers(0, offsets[-1] + len(SAMPLES[-1].data)))
    with pytest.raises(ValueError, match=r"ends inside|no end mark"):
        list(read_tar(whole[:end]))


@pytest.mark.parametrize("name", ["n" * 101, "Zoë.jpg"])
def test_names_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"does not fit|can't encode"):
        write_tar([Member(name, b"")])


def test_a_member_too_large_for_its_size_field_is_refused() -> None:
    assert len(header("a", 8**11 - 1)) == BLOCK
    with pytest.raises(ValueError, match="8589934592 bytes does not fit"):
        header("a", 8**11)
