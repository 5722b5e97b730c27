"""A report is one page that needs nothing else, says what was found, names what is missing, and runs nobody's script."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fakes.report_data import (
    CO_TRAINED,
    bare_inputs,
    conditioning_result,
    cotrain_result,
    full_inputs,
    patch_pairs,
    spot_table,
)

from c2lst_client.report.inputs import PatchPairs
from c2lst_client.report.page import build_report, write_report
from c2lst_shared.errors import BadInput

VOID = {"meta", "link", "img", "br", "hr", "source", "input"}
EVIL = "<script>alert(1)</script>"
MEGABYTE = 1_000_000


class Page(HTMLParser):
    """Reads a page into what the tests ask for, and fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.attributes, self.words, self._open = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]

    def charts(self):
        svg = "data:image/svg+xml;base64,"
        return [base64.b64decode(src.removeprefix(svg)).decode() for src in self.values("src") if src.startswith(svg)]


@pytest.fixture(scope="module")
def html():
    return build_report(full_inputs())


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_ids_are_unique_and_every_link_leads_to_one(page):
    assert len(page.ids) == len(set(page.ids))
    assert page.values("href")
    assert {href.removeprefix("#") for href in page.values("href")} <= set(page.ids)


def test_nothing_is_loaded_from_anywhere(html, page):
    assert page.values("src")
    assert all(src.startswith("data:image/") for src in page.values("src"))
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert all(url.startswith('"data:image/') for url in re.findall(r"url\((.{0,12})", html))
    assert "@import" not in html
    assert any("default-src 'none'" in value for value in page.values("content"))


def test_every_image_has_words_for_who_cannot_see_it(page):
    assert page.tags.count("img") == len([alt for alt in page.values("alt") if alt])


def test_every_table_says_what_it_shows(page):
    assert page.tags.count("table") == page.tags.count("caption") > 2


def test_verdict_and_its_interval_come_first(page):
    verdict = "The error changes by -2.1 % (95 % interval -3.0 % to -1.2 %).".replace("-", "\N{MINUS SIGN}")
    assert verdict in page.text
    assert page.text.index(verdict) < page.text.index("Real and synthetic tissue")
    assert "more than chance explains on this slide" in page.text


def test_numbers_of_the_results_are_on_the_page(page):
    for words in ("r = 0.71", "0.61 to 0.79", "13 of 49", "36 held out", "AUC of 0.52", "9f2cab31", "2 min 05 s", "0.0417"):
        assert words in page.text, words


def test_every_held_out_patch_shown_stands_over_its_own_synthetic_patch(page):
    real = [alt.split()[-1] for alt in page.values("alt") if alt.startswith("Real patch")]
    synthetic = [alt.split()[-1] for alt in page.values("alt") if alt.startswith("Patch generated")]
    assert real
    assert real == synthetic


@pytest.mark.parametrize(
    ("change", "words"),
    [((-0.004, -0.013, 0.006), "nobody can tell"), ((0.03, 0.01, 0.05), "train on real spots alone")],
    ids=["unclear", "worse"],
)
def test_page_does_not_praise_what_did_not_help(change, words):
    inputs = bare_inputs()
    cotrain, _ = cotrain_result(inputs.spots, inputs.split, change)
    text = Page(build_report(replace(inputs, cotrain=cotrain))).text
    assert words in text
    assert "its errors were smaller" not in text


def test_page_blames_the_length_of_training_where_it_is_the_length():
    inputs = bare_inputs()
    cotrain, _ = cotrain_result(inputs.spots, inputs.split, (0.03, 0.01, 0.05))
    level, _ = cotrain_result(inputs.spots, inputs.split, (-0.004, -0.013, 0.006))
    page = Page(build_report(replace(inputs, cotrain=cotrain.model_copy(update={"as_long": level.primary}))))
    assert "it is the shorter training that did better" in page.text
    assert "train on real spots alone" not in page.text
    assert "card verdict unclear" in page.values("class")


def test_weak_conditioning_is_called_no_evidence():
    inputs = bare_inputs()
    text = Page(build_report(replace(inputs, conditioning=conditioning_result(inputs.split, r=0.1)))).text
    assert "no evidence that the synthetic tissue follows the expression" in text


def test_noise_in_place_of_tissue_is_called_out_whatever_the_correlation():
    inputs = full_inputs()
    noise = np.random.default_rng(0).integers(0, 256, inputs.pairs.real.shape, dtype=np.uint8)
    pairs = replace(inputs.pairs, synthetic=noise)
    page = Page(build_report(replace(bare_inputs(), pairs=pairs, conditioning=inputs.conditioning)))
    assert "caution" in page.ids
    assert "The synthetic patches do not look like tissue" in page.text
    assert "the generator draws more nuclei" not in page.text


def test_patches_that_resemble_tissue_raise_no_caution(page):
    assert "caution" not in page.ids
    assert "the generator draws more nuclei" in page.text


def test_missing_parts_name_the_command_that_makes_them():
    text = Page(build_report(bare_inputs())).text
    for step in ("adapt", "evaluate", "cotrain", "report"):
        assert f"c2lst-client {step} --site 'north clinic'" in text
    assert "not measured yet" in text


def test_cotraining_without_stored_predictions_is_reported_without_maps():
    inputs = bare_inputs()
    cotrain, _ = cotrain_result(inputs.spots, inputs.split)
    page = Page(build_report(replace(inputs, cotrain=cotrain)))
    assert "There are no predictions to map yet." in page.text
    assert "The error changes by" in page.text


def test_same_inputs_give_the_same_page(html):
    assert build_report(full_inputs()) == html


def test_names_cannot_become_markup():
    genes = (EVIL, "$\\frac{", "G&amp;T", *(f"Gene{i}" for i in range(9)))
    spots = spot_table(genes=genes)
    spots = replace(spots, barcodes=[f'{i}"><img src=x onerror=alert(1)>' for i in range(len(spots.barcodes))])
    inputs = replace(
        full_inputs(spots, site=EVIL), settings={EVIL: EVIL}, privacy=EVIL, genes_to_map=[EVIL, "$\\frac{", "G&amp;T"]
    )
    page = Page(build_report(inputs))
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "x" not in page.values("src")
    assert EVIL in page.text
    assert "G&amp;T" in page.text
    assert any("&lt;script&gt;" in chart for chart in page.charts())
    assert not any("<script" in chart for chart in page.charts())


def test_charts_come_in_light_and_dark_colours(page):
    charts = page.charts()
    assert len(charts) % 2 == 0
    assert len(charts) == len(set(charts))
    light, dark = charts[0], charts[1]
    assert "#b84c00" in light
    assert "#f39a4d" in dark


def test_asked_for_genes_are_mapped_and_no_others():
    page = Page(build_report(replace(full_inputs(), genes_to_map=["Gene7"])))
    mapped = {alt.split(",")[0] for alt in page.values("alt") if "expression of each held-out spot" in alt}
    assert mapped == {"Gene7"}


def test_gene_outside_the_panel_is_refused():
    with pytest.raises(BadInput, match="'Nope' is not in this site's panel"):
        build_report(replace(full_inputs(), genes_to_map=["Nope"]))


@pytest.mark.slow
def test_large_slide_stays_below_six_megabytes():
    inputs = full_inputs(spot_table(side=60), px=8)
    shown = inputs.split.model_copy(update={"test": inputs.split.test[::9]})
    assert len(build_report(replace(inputs, pairs=patch_pairs(shown, px=224)))) < 6 * MEGABYTE


def wrong_rows(inputs):
    return {"spots": replace(inputs.spots, centres=inputs.spots.centres[1:])}


def wrong_genes(inputs):
    return {"spots": replace(inputs.spots, genes=["only one"])}


def foreign_spots(inputs):
    return {"conditioning": inputs.conditioning.model_copy(update={"barcodes": ["elsewhere"]})}


def foreign_pairs(inputs):
    pairs = inputs.pairs
    return {"pairs": PatchPairs(["elsewhere", *pairs.barcodes[1:]], pairs.real, pairs.synthetic)}


def unpaired_patches(inputs):
    return {"pairs": replace(patch_pairs(inputs.split), synthetic=inputs.pairs.synthetic[1:])}


def lost_predictions(inputs):
    return {"predictions": {name: table for name, table in inputs.predictions.items() if name != CO_TRAINED}}


def cut_predictions(inputs):
    return {"predictions": {name: table[:, 1:] for name, table in inputs.predictions.items()}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_rows, "49 barcodes but 48 rows"),
        (wrong_genes, "1 genes but 12 columns"),
        (foreign_spots, "names the spot 'elsewhere'"),
        (foreign_pairs, "names the spot 'elsewhere'"),
        (unpaired_patches, "36 barcodes but 35 rows"),
        (lost_predictions, "lack 'real [+] synthetic x5'"),
        (cut_predictions, "12 genes but 11 columns"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_parts_of_different_sites_are_refused(change, message):
    inputs = full_inputs()
    with pytest.raises(BadInput, match=message):
        replace(inputs, **change(inputs))


def test_file_on_disk_is_the_page(tmp_path, html):
    write_report(tmp_path / "report.html", full_inputs())
    assert (tmp_path / "report.html").read_text() == html


def test_report_that_cannot_be_made_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("earlier")
    with pytest.raises(BadInput):
        write_report(path, replace(full_inputs(), genes_to_map=["Nope"]))
    assert path.read_text() == "earlier"
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def constant_first_gene(arm):
    correlations, errors = [float("nan"), *arm.pearson_per_gene[1:]], [0.0, *arm.mae_per_gene[1:]]
    return arm.model_copy(update={"pearson_per_gene": correlations, "mae_per_gene": errors})


def test_gene_without_a_correlation_does_not_stop_the_report():
    inputs = full_inputs()
    arms = [constant_first_gene(one) for one in inputs.cotrain.arms]
    page = Page(build_report(replace(inputs, cotrain=inputs.cotrain.model_copy(update={"arms": arms}), genes_to_map=["Gene0"])))
    assert "r not defined → not defined" in page.text


def test_slide_of_one_kind_of_tissue_is_one_group():
    inputs = bare_inputs()
    groups = np.zeros(len(inputs.spots.barcodes), dtype=int)
    page = Page(build_report(replace(inputs, clusters=groups)))
    assert "group-A" in page.ids
    assert "group-B" not in page.ids
