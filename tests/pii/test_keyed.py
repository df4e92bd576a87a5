"""Keyed choices: the same for the same, a permutation where it must be one, and a key that stays secret."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privsynth.errors import PIIError
from privsynth.pii.keyed import Key

KEY = Key(secret=bytes(range(32)))
OTHER = Key(secret=bytes(32))


def test_choices_repeat_under_one_key_and_differ_under_another():
    assert KEY.number("a", "b") == KEY.number("a", "b")
    assert len({KEY.number("a", "b"), KEY.number("ab", ""), KEY.number("a", "b", ""), OTHER.number("a", "b")}) == 4


def test_the_number_is_the_documented_hmac():
    import hashlib
    import hmac

    message = b"".join(len(part).to_bytes(8, "big") + part for part in (b"number", b"name", b"anna"))
    assert KEY.number("name", "anna") == int.from_bytes(hmac.new(KEY.secret, message, hashlib.sha256).digest(), "big")


@pytest.mark.parametrize("values", [[f"{i:03d}" for i in range(1000)], [f"{i}" for i in range(1, 100)], [f"A{i:02d}x" for i in range(100)]])
def test_strings_of_one_shape_are_permuted(values):
    images = [KEY.permuted(value, "id") for value in values]
    assert len(set(images)) == len(values)
    assert all(len(image) == len(value) for image, value in zip(images, values, strict=True))
    assert images != values


def test_all_two_digit_numbers_are_permuted_among_themselves():
    # 10 to 99: no leading zero comes, so that the column can stay one of numbers.
    values = [str(i) for i in range(10, 100)]
    assert sorted(KEY.permuted(value, "id") for value in values) == values


shapes = st.text(st.sampled_from("019azAZ-_. é"), max_size=12)


@given(shapes, shapes)
def test_distinct_strings_stay_distinct_and_keep_their_shape(one, two):
    first, second = KEY.permuted(one, "id"), KEY.permuted(two, "id")
    assert (first == second) == (one == two)
    for before, after in zip(one, first, strict=True):
        assert before.isdigit() == after.isdigit()
        assert before.isupper() == after.isupper()
        assert after == before or (before.isascii() and before.isalnum())


def test_a_uuid_stays_a_uuid():
    import uuid

    image = KEY.permuted("123e4567-e89b-12d3-a456-426614174000", "id")
    assert str(uuid.UUID(image)) == image


def test_purposes_are_independent():
    assert KEY.permuted("12345678", "id") != KEY.permuted("12345678", "phone")


@pytest.mark.statistical
def test_permuted_digits_are_even():
    # 20,000 distinct strings, last digit: chi-squared with 9 degrees of freedom, alarm above 27.9 (one in 1,000).
    counts = [0] * 10
    for i in range(20_000):
        counts[int(KEY.permuted(f"{i:08d}"[::-1], "id")[-1])] += 1
    assert sum((count - 2000) ** 2 / 2000 for count in counts) < 27.9


def test_a_kept_key_is_read_back_and_only_its_owner_may(tmp_path):
    path = tmp_path / "key"
    KEY.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Key.load(path) == KEY
    with pytest.raises(PIIError, match="never overwritten"):
        OTHER.save(path)
    assert Key.load(path) == KEY
    os.chmod(path, 0o644)
    with pytest.raises(PIIError, match=r"mode 644.*chmod 600"):
        Key.load(path)


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31])
def test_a_file_that_is_no_key_is_refused(tmp_path, content):
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(PIIError):
        Key.load(path)


def test_a_key_is_never_shown():
    assert KEY.secret.hex() not in repr(KEY)
    assert "secret" not in repr(KEY)


def test_fresh_keys_differ():
    assert Key.fresh() != Key.fresh()
