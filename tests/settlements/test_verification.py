"""Tests of the verification of a party's folder: whatever is changed is found."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from cgm.data.tables.files import Source
from cgm.settlements import verification
from cgm.settlements.certificate import readable_json, seal
from cgm.settlements.folder import party_files
from cgm.settlements.verification import sign, verify
from cgm.utils.files import folder_digest
from tests.settlements.settled_tables import settle

DATA = b"income,age\n" + 65 * b"1,2\n\n"  # empty lines are no rows


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder of a party as it was written."""

    source = Source("North Bank.csv", hashlib.sha256(DATA).hexdigest())
    settlement = settle()
    settlement = replace(settlement, sources=(source, *settlement.sources[1:]))
    folder = tmp_path_factory.mktemp("party")
    for name, data in party_files(settlement, 0, alternatives=True).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def folder(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "party"))


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> tuple[Path, Path]:
    """The files of a private key and of its public key."""

    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, folder = Ed25519PrivateKey.from_private_bytes(bytes(range(32))), tmp_path_factory.mktemp("keys")
    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    public = key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(private)
    (folder / "public.pem").write_bytes(public)
    return folder / "key.pem", folder / "public.pem"


def failures(folder: Path, **given) -> list[str]:
    result = verify(folder, **given)
    failed = [line for line in result.lines if line.startswith("FAILED")]
    assert result.ok == (not failed)
    return failed


def test_an_unchanged_folder_is_verified(folder, tmp_path):
    data = tmp_path / "mine.csv"
    data.write_bytes(DATA)
    text = "\n".join(verify(folder, data).lines)
    assert verify(folder, data).ok
    for name in ("reward.csv", "alternatives/reward-beta-1.csv", "certificate.html", "README.txt"):
        assert f"ok      {name} is as it was written" in text
    assert "mine.csv is the file that was settled" in text
    assert "ok      all of its 65 rows are accounted for: 60 valued, 5 kept apart" in text
    assert "open    the certificate is not signed" in text
    assert "cannot be computed from the files of one party" in text
    digest = json.loads((folder / "certificate.json").read_text())["sha256"]
    assert text.endswith(f"ask the mediator whether the digest of your certificate is {digest}")
    rows = len((folder / "reward.csv").read_text().splitlines()) - 1
    assert f"reward.csv is as it was written, {rows} rows" in text


def test_rows_that_a_certificate_forgets_are_told(folder, tmp_path):
    data = tmp_path / "mine.csv"
    content = json.loads((folder / "certificate.json").read_text())
    for text, line in [
        (
            b"income,age\n" + 64 * b"1,2\n",
            "FAILED  it has 64 rows, but the certificate says 60 valued and 5 kept apart",
        ),
        (
            b"income,age\n1,2\n3\n",  # no table
            "open    the rows of your own file were not counted",
        ),
    ]:
        data.write_bytes(text)
        content["data"]["sha256"] = hashlib.sha256(text).hexdigest()
        (folder / "certificate.json").write_bytes(readable_json(seal(content)))
        assert any(found.startswith(line) for found in verify(folder, data).lines)


def test_the_own_file_is_read_as_the_mediator_read_it(folder, tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="Excel needs openpyxl")
    content = json.loads((folder / "certificate.json").read_text())
    book = openpyxl.Workbook()
    for row in [["a", "b"], *(65 * [[1, 2]])]:
        book.active.append(row)
    book.save(tmp_path / "mine.xlsx")
    lines = "made by,us\non,a day\nsex^age\n" + 65 * "1^2\n" + "total^2\n"
    for name, data, settings in [
        ("mine.csv", lines.encode(), {"encoding": "utf-8", "separator": "^", "skip": [2, 1]}),
        ("mine.xlsx", (tmp_path / "mine.xlsx").read_bytes(), {}),
    ]:
        (tmp_path / name).write_bytes(data)
        (tmp_path / f"link-{name}").symlink_to(tmp_path / name)
        content["data"] |= {"sha256": hashlib.sha256(data).hexdigest(), "file": name, **settings}
        (folder / "certificate.json").write_bytes(readable_json(seal(content)))
        for path in (tmp_path / name, tmp_path / f"link-{name}"):  # of one's own, a link is right
            assert "ok      all of its 65 rows are accounted for: 60 valued, 5 kept apart" in verify(folder, path).lines
    for wrong in ({"separator": "^^"}, {"skip": [1]}, {"skip": [-1, 0]}, {"encoding": 3}):
        rewrite(folder, data=content["data"] | wrong)
        (line,) = failures(folder)
        assert line.startswith("FAILED  certificate.json was changed: expected other content"), wrong


def test_any_flipped_byte_is_found(folder):
    for path in (path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for k in {*range(0, len(content), max(1, len(content) // 60)), len(content) - 1}:
            for bit in (1, 32):  # 32 makes a space of a zero byte and changes the case of a letter
                path.write_bytes(content[:k] + bytes([content[k] ^ bit]) + content[k + 1 :])
                assert failures(folder), (path, k, bit)
        for changed in (content[:-1], content + b"\n"):
            path.write_bytes(changed)
            assert failures(folder), path
        path.write_bytes(content)
        assert not failures(folder)


def test_missing_and_additional_files_are_told(folder, tmp_path):
    (folder / "reward.csv").unlink()
    (folder / "reward-2.csv").write_text("a\n1\n")
    (folder / "alternatives" / "deep").mkdir()
    (folder / "link.csv").symlink_to(folder / "README.txt")
    assert failures(folder) == [
        "FAILED  reward.csv is missing",
        "FAILED  alternatives/deep is not part of the certificate: it was added",
        "FAILED  link.csv is not part of the certificate: it was added",
        "FAILED  reward-2.csv is not part of the certificate: it was added",
    ]
    missing = f"FAILED  {tmp_path / 'certificate.json'} cannot be read: No such file or directory"
    assert failures(tmp_path) == [missing]
    (tmp_path / "parties").mkdir()
    hint = f"; this is the folder of all parties: verify {tmp_path / 'parties'}/NAME"
    assert failures(tmp_path) == [missing + hint]


def test_files_of_file_managers_and_the_own_file_may_be_in_the_folder(folder):
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "mine.csv").write_bytes(DATA)
    assert verify(folder, folder / "mine.csv").ok
    assert "open    .DS_Store is not part of the certificate; file managers create such files" in verify(folder).lines
    assert not verify(folder).ok


def test_a_file_in_place_of_another_is_found(folder):
    (folder / "README.txt").unlink()
    (folder / "README.txt").symlink_to(folder / "reward.csv")
    assert failures(folder) == ["FAILED  README.txt cannot be read, or is not made of plain files"]


def test_another_file_of_the_party_is_found(folder, tmp_path):
    data = tmp_path / "mine.csv"
    data.write_bytes(DATA.replace(b"\n", b"\r\n"))
    (line,) = failures(folder, data=data)
    assert "is not the file that was settled (North Bank.csv): its bytes differ" in line
    (line,) = failures(folder, data=tmp_path / "none.csv")
    assert "cannot be read: No such file or directory" in line


def rewrite(folder: Path, **changes) -> None:
    """Change a certificate and compute its digest anew, as someone who knows how would."""

    content = json.loads((folder / "certificate.json").read_text())
    (folder / "certificate.json").write_bytes(readable_json(seal(content | changes)))


def test_a_wrong_number_of_rows_is_found(folder):
    files = json.loads((folder / "certificate.json").read_text())["files"]
    files["reward.csv"]["rows"] += 1
    rewrite(folder, files=files)
    assert "rows, but the certificate says" in failures(folder)[0]
    (folder / "reward.csv").write_bytes(b"\xff\n1\n")
    files["reward.csv"] |= {"sha256": hashlib.sha256(b"\xff\n1\n").hexdigest(), "rows": 1, "bytes": 4}
    rewrite(folder, files=files)
    assert "reward.csv is not a table, but the certificate says 1 rows" in failures(folder)[0]


def test_no_file_outside_the_folder_is_opened(folder):
    (folder.parent / "secret").write_text("secret")
    rewrite(folder, files={"../secret": {"sha256": "0"}, str(folder.parent / "secret"): {"sha256": "0"}})
    lines = failures(folder)
    assert "FAILED  ../secret is missing" in lines
    assert f"FAILED  {folder.parent / 'secret'} is missing" in lines


def test_what_is_no_certificate_is_told_in_one_line(folder):
    nan, path = b'{"a": NaN, "sha256": ""}', folder / "certificate.json"
    content = path.read_bytes()
    for text in (b"", b"[]", b"{}", b'{"sha256": 1}', b"\xff", b"[" * 100_000, nan, b"1" * 5000):
        path.write_bytes(text)
        (line,) = failures(folder)
        assert line.startswith("FAILED  certificate.json was changed: "), text
    data = json.loads(content)["data"]
    for changes in (
        {"files": []},
        {"files": {"a": 1}},
        {"files": {"a": {"rows": "3"}}},
        {"files": {"a": {"rows": -1}}},
        {"files": {"a": {"sha256": 5}}},
        {"data": None},
        {"data": data | {"rows_valued": 1.5}},
        {"data": data | {"rows_held_out": None}},
        {"party": 3},
        {"settlement": {"name": "x"}},
        {"settlement": []},
    ):
        path.write_bytes(content)
        rewrite(folder, **changes)
        (line,) = failures(folder)
        assert line.startswith("FAILED  certificate.json was changed: expected other content"), changes


def test_another_order_of_keys_and_another_format_are_found(folder):
    path, changed = folder / "certificate.json", "FAILED  certificate.json was changed: "
    content = json.loads(path.read_bytes())
    path.write_bytes(readable_json(dict(reversed(content.items()))))
    assert failures(folder) == [f"{changed}its content does not have the digest that it states"]
    path.write_bytes(readable_json({"sha256": content["sha256"]} | content))  # the seal first
    assert failures(folder) == [f"{changed}its content is the same, but not its layout"]
    for other in (99, "cgm certificate 99", None, ["cgm certificate 2"]):
        path.write_bytes(readable_json(seal(content | {"format": other})))
        (line,) = failures(folder)
        assert line.startswith(f"{changed}its format is {other!r}, this version of cgm knows")


def test_certificates_of_the_older_format_are_verified(folder):
    content = json.loads((folder / "certificate.json").read_bytes()) | {"format": "cgm certificate 1"}
    del content["settlement"]
    (folder / "certificate.json").write_bytes(readable_json(seal(content)))
    assert not failures(folder)
    (line,) = failures(folder, settlement="spring")
    assert line == "FAILED  it does not say of which settlement it is, but spring is expected: is it an older one?"


def test_an_older_settlement_is_found_by_its_name_and_date(folder, keys):
    rewrite(folder, settlement={"name": "spring", "date": "2026-03-01T09:00:00Z"})
    sign(folder, keys[0])
    for given in (None, "spring", "2026-03-01"):
        assert not failures(folder, key=keys[1], settlement=given)
    text = "it is of the settlement spring of 2026-03-01T09:00:00Z"
    assert f"open    {text}; that" in "\n".join(verify(folder).lines)
    for given in ("autumn", "2026-09-01", "2"):
        expected = [f"FAILED  {text}, but {given} is expected: is it an older one?"]
        assert failures(folder, key=keys[1], settlement=given) == expected


def test_only_a_folder_that_matches_is_signed(folder, keys):
    (folder / "reward.csv").write_bytes(b"other\n1\n")
    with pytest.raises(ValueError, match=r"party: not signed, since reward\.csv was changed"):
        sign(folder, keys[0])
    rewrite(folder, format=99)
    with pytest.raises(ValueError, match=r"not signed, since certificate\.json was changed"):
        sign(folder, keys[0])
    assert not (folder / "certificate.sig").exists()


def test_what_is_no_plain_file_is_told_in_one_line(folder, keys, tmp_path):
    content = (folder / "certificate.json").read_bytes()
    (folder / "dangling").symlink_to(tmp_path / "nowhere")
    (folder / "loop").symlink_to(folder / "loop")
    (tmp_path / "mine.csv").write_bytes(DATA)
    added = [f"FAILED  {name} is not part of the certificate: it was added" for name in ("dangling", "loop")]
    assert failures(folder, data=tmp_path / "mine.csv") == added
    assert len(failures(folder, data=folder / "dangling")) == 3
    for name in ("dangling", "loop"):
        (folder / name).unlink()
    (folder / "reward.csv").unlink()
    os.mkfifo(folder / "reward.csv")
    os.mkfifo(folder / "certificate.sig")
    signature = folder / "certificate.sig"
    assert failures(folder, key=keys[1]) == [
        "FAILED  reward.csv cannot be read, or is not made of plain files",
        "FAILED  certificate.sig is not a signature of this certificate "
        f"({signature}: a pipe or a device; expected a plain file)",
    ]
    assert len(failures(folder, data=folder / "reward.csv", key=signature)) == 3
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (folder / "certificate.json").unlink()
        make(folder / "certificate.json")
        assert len(failures(folder)) == 1
    (folder / "certificate.json").unlink()
    (folder / "certificate.json").write_bytes(content)


def test_a_folder_that_cannot_be_read_hides_nothing(folder, monkeypatch):
    hidden = folder / "alternatives" / "hidden"
    hidden.mkdir()
    walk = os.walk

    def unreadable(path, onerror):
        onerror(PermissionError(13, "Permission denied", str(hidden)))
        return (entry for entry in walk(path) if entry[0] != str(hidden))

    monkeypatch.setattr(os, "walk", unreadable)
    assert failures(folder) == ["FAILED  alternatives/hidden is not part of the certificate: it was added"]


@pytest.mark.parametrize("suffix", [".png", ".npz"])
def test_images_that_were_removed_cannot_hide_in_the_name_of_another(tmp_path, suffix):
    """The list of digests has a line for each file: a name with a line break could stand for two of them."""

    images = {f"{k}{suffix}": bytes([k]) for k in range(3)}
    content = {"files": {"reward": {"sha256": folder_digest(images), "bytes": 3, "rows": 3, "folder": True}}}
    data = {"file": "x", "sha256": folder_digest(images), "rows_valued": 3, "rows_held_out": 0, "digest_of": "folder"}
    content |= {"format": "cgm certificate 2", "settlement": {"name": "", "date": ""}, "party": "a", "data": data}
    folder = tmp_path / "party" / "reward"
    folder.mkdir(parents=True)
    (tmp_path / "party" / "certificate.json").write_bytes(readable_json(seal(content)))
    for name, image in images.items():
        (folder / name).write_bytes(image)
    assert not failures(tmp_path / "party")

    for name in list(images)[:2]:
        (folder / name).unlink()
    digest = hashlib.sha256(images[f"0{suffix}"]).hexdigest()
    (folder / f"0{suffix}\n{hashlib.sha256(images[f'1{suffix}']).hexdigest()}  1{suffix}").write_bytes(
        images[f"0{suffix}"]
    )
    paths = sorted(folder.iterdir())
    lines = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths)
    assert lines.startswith(digest)
    assert hashlib.sha256(lines.encode()).hexdigest() == folder_digest(images)  # the forgery has the same list
    (line,) = failures(tmp_path / "party")
    assert line.startswith("FAILED  reward was changed: 0")
    assert "a name with a control character or a backslash" in line
    assert len(failures(tmp_path / "party", data=folder)) == 2


def test_the_number_of_images_is_compared(tmp_path):
    images = {f"{k}.png": bytes([k]) for k in range(3)}
    content = {"files": {"reward": {"sha256": folder_digest(images), "rows": 4, "folder": True}}, "party": "a"}
    data = {"sha256": "", "rows_valued": 3, "rows_held_out": 0}
    content |= {"format": "cgm certificate 2", "settlement": {"name": "", "date": ""}, "data": data}
    (tmp_path / "reward").mkdir()
    (tmp_path / "certificate.json").write_bytes(readable_json(seal(content)))
    for name, image in images.items():
        (tmp_path / "reward" / name).write_bytes(image)
    (line,) = failures(tmp_path)
    assert line.endswith(
        "another number of files than the certificate says: it has 3 files, but the certificate says 4"
    )


def test_names_cannot_control_the_terminal(folder):
    rewrite(folder, party="\x1b[2J\x1b[31mok\n")
    text = "\n".join(verify(folder).lines)
    assert "\x1b" not in text
    assert r"\x1b[2J" in text


def test_a_signature_is_verified(folder, keys):
    private, public = keys
    assert failures(folder, key=public) == ["FAILED  certificate.sig is missing, although a key was given"]
    path = sign(folder, private)
    assert any("is signed by" in line and line.startswith("ok") for line in verify(folder, key=public).lines)
    assert verify(folder, key=public).ok
    assert any(line.startswith("open    signed with the key") for line in verify(folder).lines)

    content = path.read_bytes()
    for k in range(len(content)):
        path.write_bytes(content[:k] + bytes([content[k] ^ 1]) + content[k + 1 :])
        assert failures(folder), k
        assert failures(folder, key=public), k


def test_a_certificate_that_was_written_anew_is_found_by_its_signature(folder, keys):
    private, public = keys
    sign(folder, private)
    value = json.loads((folder / "certificate.json").read_text())["value"]
    rewrite(folder, value=value | {"reward": 1.0})
    assert failures(folder, key=public) == ["FAILED  certificate.sig is not a signature of this certificate"]
    (folder / "certificate.sig").unlink()
    assert not failures(folder)  # without a signature, this is what a digest cannot show


def test_the_key_of_someone_else_is_found(folder, keys, tmp_path):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

    sign(folder, keys[0])
    other = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    (tmp_path / "other.pem").write_bytes(other.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo))
    (line,) = failures(folder, key=tmp_path / "other.pem")
    assert "was made with another key" in line
    (tmp_path / "bad.pem").write_bytes(b"bad")
    (line,) = failures(folder, key=tmp_path / "bad.pem")
    assert "expected an Ed25519 public key" in line
    with pytest.raises(ValueError, match=r"bad\.pem: expected an Ed25519 private key"):
        sign(folder, tmp_path / "bad.pem")
    wrong = x25519.X25519PrivateKey.generate()
    (tmp_path / "x.pem").write_bytes(wrong.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
    with pytest.raises(ValueError, match="got X25519PrivateKey"):
        sign(folder, tmp_path / "x.pem")


def test_without_cryptography_the_signature_is_open(folder, keys, monkeypatch):
    private, public = keys
    sign(folder, private)

    def missing():
        raise ImportError

    monkeypatch.setattr(verification, "cryptography", missing)
    assert any("could not be verified: install cryptography" in line for line in verify(folder).lines)
    assert verify(folder).ok
    assert not verify(folder, key=public).ok


@pytest.mark.parametrize("suffix", [".csv.gz", ".parquet", ".xlsx"])
def test_rewards_in_other_formats_are_verified(suffix, tmp_path):
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl", reason="Excel needs openpyxl")
    settlement = settle()
    source = Source(f"bank{suffix}", hashlib.sha256(DATA).hexdigest(), suffix)
    settlement = replace(settlement, sources=(source, *settlement.sources[1:]))
    for name, data in party_files(settlement, 0).items():
        (tmp_path / name).write_bytes(data)
    assert failures(tmp_path) == []
    entry = json.loads((tmp_path / "certificate.json").read_text())["files"][f"reward{suffix}"]
    assert verification._count_rows(f"reward{suffix}", (tmp_path / f"reward{suffix}").read_bytes()) == entry["rows"]

    path = tmp_path / f"reward{suffix}"
    path.write_bytes(path.read_bytes()[:-1])
    assert len(failures(tmp_path)) == 1
