"""A finished run becomes a release that a site accepts, or nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fakes.central import Central, tiny_weights

from c2lst_server.db.models import Release
from c2lst_server.errors import NotThere
from c2lst_server.publishing.catalogue import read_catalogue, read_manifest, reading
from c2lst_server.publishing.keys import Keyring
from c2lst_server.publishing.publish import describe, publish
from c2lst_server.runs import save_run
from c2lst_shared.errors import BadArtefact, BadInput
from c2lst_shared.release.manifest import TensorSpec
from c2lst_shared.release.weights import sha256_of


def visible(central: Central) -> dict[str, bytes]:
    """Everything that is served."""
    folder = central.home.metadata.parent
    return {str(path): path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


def test_release_says_what_the_run_was(central: Central) -> None:
    record = central.add_run("second")
    with central.session() as session:
        manifest = publish(central.home, session, central.keyring, "second", organ="mob", summary="Better.")
    assert manifest.name == "mob/2"
    assert (manifest.backbone, manifest.stain, manifest.metrics) == (record.backbone, record.stain, record.metrics)
    assert (manifest.provenance.images, manifest.provenance.tiles) == (11, 4200)
    assert manifest.tensors["conv.weight"] == TensorSpec(shape=(4, 3, 3, 3), dtype="F32")
    weights = central.served("weights.safetensors", number=2)
    assert weights.name == f"{sha256_of(weights)}.weights.safetensors"
    assert (manifest.weights_sha256, manifest.weights_bytes) == (sha256_of(weights), weights.stat().st_size)
    assert read_manifest(central.home, "mob", 2) == manifest


def test_release_shows_the_last_samples(central: Central) -> None:
    last = central.home.run("first") / "samples" / "step_001200.png"
    assert central.served("samples.png").read_bytes() == last.read_bytes()


def test_each_organ_counts_for_itself(central: Central) -> None:
    assert central.publish("second").name == "mob/2"
    assert central.publish("other", organ="breast").name == "breast/1"
    assert [release.name for release in read_catalogue(central.home).releases] == ["breast/1", "mob/1", "mob/2"]
    with central.session() as session:
        assert {(row.organ, row.number, row.run_id) for row in session.query(Release)} == {
            ("mob", 1, "first"),
            ("mob", 2, "second"),
            ("breast", 1, "other"),
        }


def test_role_of_an_organ_signs_that_organ_only(central: Central) -> None:
    central.publish("other", organ="breast")
    delegations = reading(central.home).targets().delegations
    assert delegations is not None
    assert delegations.roles is not None
    assert {name: (role.paths, role.threshold) for name, role in delegations.roles.items()} == {
        "mob": (["mob/*/*"], 2),
        "breast": (["breast/*/*"], 2),
    }


def test_dry_run_changes_nothing_and_shows_what_will_be_signed(central: Central) -> None:
    central.add_run("second")
    before = visible(central)
    with central.session() as session:
        shown = describe(central.home, session, "second", organ="mob")
        assert visible(central) == before
        signed = publish(central.home, session, central.keyring, "second", organ="mob")
    assert shown.model_copy(update={"created": signed.created}) == signed


@pytest.mark.parametrize(
    ("run", "organ", "message"),
    [
        pytest.param("nowhere", "mob", "There is no run 'nowhere' .* the runs are: first, second", id="unknown run"),
        pytest.param("../keys", "mob", r"There is no run '../keys'", id="path as run"),
        pytest.param("first", "mob", "already published as mob/1", id="published before"),
        pytest.param("second", "breast", "was trained for organ 'mob', not 'breast'", id="other organ"),
        pytest.param("second", "targets", "cannot name an organ", id="name of a role"),
    ],
)
def test_unsuitable_run_is_refused_and_nothing_changes(central: Central, run: str, organ: str, message: str) -> None:
    central.add_run("second")
    before = visible(central)
    with central.session() as session, pytest.raises(BadInput, match=message):
        publish(central.home, session, central.keyring, run, organ=organ)
    assert visible(central) == before


def test_unfinished_run_is_refused(central: Central) -> None:
    record = central.add_run("second")
    save_run(central.home, record.model_copy(update={"state": "stopped", "steps_done": 250}))
    with central.session() as session, pytest.raises(BadInput, match="second is stopped after 250 steps"):
        publish(central.home, session, central.keyring, "second", organ="mob")


def test_run_whose_weights_hold_nan_is_not_signed(central: Central) -> None:
    before = visible(central)
    with pytest.raises(BadArtefact, match=r"'conv.bias' of .* NaN or infinite"):
        central.publish("second", weights=tiny_weights() | {"conv.bias": torch.full((4,), torch.nan)})
    assert visible(central) == before


def test_wrong_passphrase_leaves_nothing_behind(central: Central) -> None:
    central.add_run("second")
    before = visible(central)
    keyring = Keyring(central.home.keys, lambda: "not the passphrase")
    with central.session() as session, pytest.raises(BadInput, match="check the passphrase"):
        publish(central.home, session, keyring, "second", organ="mob")
    assert visible(central) == before


def test_keys_of_another_server_sign_nothing(central: Central, tmp_path: Path) -> None:
    """Metadata that a site would refuse is tried out, and taken back with the files that came with it."""
    other = Central(tmp_path / "other")
    central.add_run("second")
    before = visible(central)
    with central.session() as session, pytest.raises(BadArtefact, match="A site would refuse this metadata"):
        publish(central.home, session, other.keyring, "second", organ="mob")
    other.engine.dispose()
    assert visible(central) == before
    with central.session() as session:
        assert session.query(Release).count() == 1


def test_interrupted_publication_is_invisible_and_does_not_stand_in_the_way(central: Central) -> None:
    """What a crash before the timestamp leaves is there under the next version's name, and is overwritten."""
    (central.home.metadata / "3.snapshot.json").write_bytes(b"half")
    (central.home.metadata / "2.mob.json").write_bytes(b"half")
    assert [release.name for release in read_catalogue(central.home).releases] == ["mob/1"]
    assert central.publish("second").name == "mob/2"
    assert [release.name for release in read_catalogue(central.home).releases] == ["mob/1", "mob/2"]


def test_release_that_is_not_there_is_named(central: Central) -> None:
    with pytest.raises(NotThere, match="There is no release mob/9"):
        read_manifest(central.home, "mob", 9)


def test_damaged_metadata_is_named(central: Central) -> None:
    central.newest("snapshot").write_bytes(b"{}")
    with pytest.raises(BadArtefact, match=r"2.snapshot.json cannot be read"):
        read_catalogue(central.home)
