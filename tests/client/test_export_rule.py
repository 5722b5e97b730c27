"""The rule of export: what blocks, what is flagged, and what other tissue or few spots explain."""

import pytest
from fakes.privacy_results import attack, nearest, privacy_result, recovery

from c2lst_client.privacy.export_rule import decide
from c2lst_client.privacy.words import lines


def test_nothing_found_is_allowed_and_called_no_proof():
    decision = decide(privacy_result())
    assert decision.verdict == "allowed"
    assert decision.reasons == [
        "No observed row could be computed (the nearest attempt is off by 50 %), and membership of a spot can hardly be told: "
        "AUC 0.50 (95 % interval 0.45 to 0.55). That is a measurement of these attacks, not a proof."
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rows": recovery(1)}, "By lines that meet, 1 of 100 observed rows can be computed to 5 % (1 to 1 %) from the pairs."),
        ({"rows": recovery(40, held_out=5)}, "40 of 100 observed rows"),
        ({"declared": attack("calibrated loss", auc=0.7)}, "AUC 0.70 (95 % interval 0.65 to 0.75)"),
        ({"declared": attack("calibrated loss", auc=0.55, tpr=0.2)}, "20 % (16 to 24 %) of members at 1 % false positives"),
        ({"known_row": attack("the nearest row", auc=0.9)}, "Whether a known row of expression is in the pairs can be told"),
    ],
)
def test_what_is_shown_blocks(changes, reason):
    decision = decide(privacy_result(**changes))
    assert decision.verdict == "blocked"
    assert reason in decision.reasons[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"declared": attack("calibrated loss", auc=0.7), "excess": 0.0}, "no better than by a score that knows nothing"),
        ({"declared": attack("calibrated loss", auc=0.57)}, "AUC 0.57"),
        ({"declared": attack("calibrated loss", auc=0.5, half=0.3, others=12)}, "12 non-members, too few to say"),
        ({"declared": attack("calibrated loss", auc=0.52, tpr=0.5, half=0.01, others=20)}, "AUC 0.52"),
        ({"rows": recovery(3, held_out=4)}, "so can 4 of 100 rows that no pair was made of"),
        (
            {"neighbours": nearest(0.8, "pixels")},
            "80 % (75 to 85 %) of generated patches in pixels are nearer to a training spot",
        ),
    ],
)
def test_what_cannot_be_excluded_or_has_another_explanation_is_flagged(changes, reason):
    decision = decide(privacy_result(**changes))
    assert decision.verdict == "flagged"
    assert reason in " ".join(decision.reasons)


@pytest.mark.parametrize(
    ("score", "auc", "verdict"), [("loss", 0.7, "flagged"), ("loss", 0.58, "allowed"), ("other", 0.58, "flagged")]
)
def test_another_score_of_the_adapter_flags_what_the_backbone_cannot_do_as_well(score, auc, verdict):
    found = privacy_result()
    attacks = [found.membership.declared, attack(score, auc=auc)]
    found = found.model_copy(update={"membership": found.membership.model_copy(update={"attacks": attacks})})
    assert decide(found).verdict == verdict


def test_what_blocks_is_said_first():
    decision = decide(privacy_result(rows=recovery(2), neighbours=nearest(0.9), declared=attack("calibrated loss", auc=0.57)))
    assert decision.verdict == "blocked"
    assert "observed rows can be computed" in decision.reasons[0]
    assert len(decision.reasons) == 3


def test_expression_that_may_leave_is_not_asked_about():
    found = privacy_result(
        rows=recovery(100), known_row=attack("the nearest row", auc=1.0), neighbours=nearest(1.0, "expression")
    )
    assert decide(found).verdict == "blocked"
    assert decide(found, observed_allowed=True).verdict == "allowed"
    leaky = found.model_copy(update={"membership": privacy_result(declared=attack("calibrated loss", auc=0.9)).membership})
    assert decide(leaky, observed_allowed=True).verdict == "blocked"


def test_terminal_gets_every_number_with_its_interval():
    text = "\n".join(lines(privacy_result(rows=recovery(2), dp_epsilon=3.2, dp_delta=1e-3)))
    assert "calibrated loss *" in text
    assert "0.50 [0.45, 0.55]" in text
    assert "2, 2 of 100" in text
    assert "steps of 0.67 %" in text
    assert "epsilon 3.20 at delta 0.001" in text
    few = "\n".join(lines(privacy_result(declared=attack("calibrated loss", others=20))))
    assert "With 20 non-members 1 % means none: the smallest step is 5.0 %." in few
