"""The code of docs/notebook.md runs as it stands, on a release that was really signed, served, pulled and verified."""

import re
from pathlib import Path

import numpy as np
import pytest
from fakes.central import Central, serving
from fakes.small_site import SmallSite

from c2lst_client.journey import Journey
from c2lst_client.options import AdaptOptions
from c2lst_client.settings import Settings
from c2lst_client.sites import add_site
from c2lst_client.trust.enrol import enrol
from c2lst_shared.diffusion.backbone import build_backbone
from c2lst_shared.presets import get_preset
from c2lst_shared.progress import Silent

PAGE = Path(__file__).parents[1] / "docs" / "notebook.md"


@pytest.fixture
def adapted_home(tmp_path, monkeypatch):
    monkeypatch.setenv("C2LST_HOME", str(tmp_path / "home"))
    settings = Settings()
    site, _ = add_site(settings.folders, "rep11", organ="mob", spots=SmallSite().write_legacy(tmp_path / "raw"))
    central = Central(tmp_path / "central")
    central.publish("run-1", weights=build_backbone(get_preset("tiny").backbone, seed=0).state_dict())
    with serving(central):
        enrol(settings.folders, central.invite(tmp_path / "enrolment.json"))
        Journey(settings, site, progress=Silent(), stop=lambda: False).adapt(AdaptOptions(fraction=0.5, genes=5, steps=2))
    return settings.folders


@pytest.mark.slow
@pytest.mark.usefixtures("adapted_home")
def test_code_of_the_page_generates_patches():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # the page's own words
    patches = names["patches"]
    assert isinstance(patches, np.ndarray)
    assert (patches.dtype, patches.shape) == (np.uint8, (2, 64, 64, 3))
    assert not np.array_equal(patches[0], patches[1])
