"""Text tables are read line by line, in the shapes that labs write, and no file can fill the memory."""

import gzip

import pytest

from c2lst_client.spots.tables import numbers, read_columns, read_counts, read_lines
from c2lst_shared.errors import BadInput

TABLE = "g1\tg2\tg3\na\t1\t0\t2\nb\t0\t0\t3\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        gzip.compress(TABLE.encode(), mtime=0),
        ("spot\t" + TABLE).encode(),
        ("\t" + TABLE).encode(),
        TABLE.replace("\t", ",").encode(),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.encode("utf-8-sig"),
        b'"g1"\t"g2"\t"g3"\n"a"\t1\t0\t2\n"b"\t0\t0\t3\n',
        TABLE.replace("\t1\t", "\t1.0\t").encode() + b"\n\n",
    ],
    ids=["R", "gzip", "corner", "blank-corner", "comma", "windows", "byte-order-mark", "quotes", "decimals"],
)
def test_counts_in_every_usual_writing_read_the_same(tmp_path, content):
    path = tmp_path / "t.tsv"
    path.write_bytes(content)
    names, genes, counts = read_counts(path)
    assert names == ["a", "b"]
    assert genes == ["g1", "g2", "g3"]
    assert counts.toarray().tolist() == [[1, 0, 2], [0, 0, 3]]


def test_counts_that_are_all_zero_are_an_empty_matrix(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("g1\tg2\na\t0\t0\n")
    _, _, counts = read_counts(path)
    assert counts.shape == (1, 2)
    assert counts.nnz == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"g1;g2\na;1\n", "has neither a tab nor a comma in its first line"),
        (b"g1\tg2\n", "has a header but no rows"),
        (b"g1\tg2\na\t1\t2\nb\t1\n", "has 1 counts in row 'b' for 2 genes"),
        (b"g1\tg2\na\t1\t2\nb\t1\t2\t3\n", "has 3 counts in row 'b' for 2 genes"),
        (b"g1\tg2\na\n", "has 0 counts in row 'a'"),
        (b"g1\tg2\na\t1\tfive\n", "has 'five' in row 'a', column 3"),
        (b"g1\tg2\na\t1\t\n", "has '' in row 'a', column 3"),
        (b"g1\tg2\na\t1\t1_000\n", "has '1_000' in row 'a', column 3"),
        ("g1\tg2\na\t1\t2\n".encode("utf-16"), "is not UTF-8 text"),
        (gzip.compress(TABLE.encode(), mtime=0)[:-9], "is a damaged or cut-off gzip file"),
        (b"\x1f\x8bnothing like gzip", "is a damaged or cut-off gzip file"),
    ],
)
def test_counts_that_cannot_be_read_are_refused(tmp_path, content, message):
    path = tmp_path / "t.tsv"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        read_counts(path)


def test_gzip_bomb_is_refused_without_unpacking_it(tmp_path):
    path = tmp_path / "bomb.tsv.gz"
    path.write_bytes(gzip.compress(b"1\t" * 5_000_000))
    assert path.stat().st_size < 20_000
    with pytest.raises(BadInput, match="is larger than 1,000,000 bytes unpacked"):
        list(read_lines(path, max_bytes=1_000_000))


def test_file_of_exactly_the_limit_is_read(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("ab\ncd\n")
    assert list(read_lines(path, max_bytes=6)) == ["ab", "cd"]
    with pytest.raises(BadInput, match="larger than 5 bytes"):
        list(read_lines(path, max_bytes=5))


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(BadInput, match="There is no file"):
        read_counts(tmp_path / "none.tsv")
    with pytest.raises(BadInput, match="cannot be read"):
        read_counts(tmp_path)


def test_columns_are_text_until_asked_for_as_numbers(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("spot\tpixel_x\nX16.92x9.015\t1153.70\n")
    columns = read_columns(path)
    assert columns == {"spot": ["X16.92x9.015"], "pixel_x": ["1153.70"]}
    assert numbers(path, columns, "pixel_x").tolist() == [1153.7]
    with pytest.raises(BadInput, match="no column 'pixel_y' but spot, pixel_x"):
        numbers(path, columns, "pixel_y")
    with pytest.raises(BadInput, match=r"'X16.92x9.015' in column 'spot', row 2"):
        numbers(path, columns, "spot")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a\tb\n", "no rows"),
        ("a\ta\n1\t2\n", "a column name twice"),
        ("a\tb\n1\t2\n3\n", "has 1 cells in row 3 and 2 in its header"),
    ],
)
def test_small_table_that_cannot_be_read_is_refused(tmp_path, content, message):
    path = tmp_path / "t.tsv"
    path.write_text(content)
    with pytest.raises(BadInput, match=message):
        read_columns(path)
