"""The size of a group finds what SuperLink carries, and comes back when it carries more."""

from __future__ import annotations

import pytest

from c2lst_server.rounds.courier import GroupSize


def ask(group: GroupSize, carried: int, exchanges: int) -> tuple[int, int]:
    """Ask a crowd that answers as long as not more than `carried` are asked, and half as many beyond; (asked, answered)."""
    asked = answered = 0
    for _ in range(exchanges):
        now = group.now
        came = now if now <= carried else carried // 2
        asked, answered = asked + now, answered + came
        group.learn(now, came)
    return asked, answered


def test_all_are_asked_while_answers_come() -> None:
    group = GroupSize(25)
    assert ask(group, 25, 10) == (250, 250)


@pytest.mark.parametrize("carried", [5, 9, 17])
def test_little_is_asked_in_vain_where_less_is_carried(carried: int) -> None:
    asked, answered = ask(GroupSize(25), carried, 40)
    assert answered > 0.6 * asked
    fixed = [25, carried // 2]
    assert answered / asked > 2 * fixed[1] / fixed[0]


def test_group_grows_again_when_more_is_carried() -> None:
    group = GroupSize(25)
    ask(group, 5, 10)
    assert group.now <= 7
    ask(group, 25, 22)
    assert group.now == 25


def test_dead_sites_leave_a_group_of_four() -> None:
    group = GroupSize(25)
    for _ in range(9):
        group.learn(group.now, 0)
    assert group.now == 4


def test_few_sites_that_are_due_say_nothing_of_more() -> None:
    group = GroupSize(25)
    group.learn(25, 3)
    small = group.now
    group.learn(2, 2)
    assert group.now == small


def test_one_dead_site_asked_alone_leaves_the_others_their_turn() -> None:
    group = GroupSize(25)
    group.learn(1, 0)
    group.learn(1, 0)
    assert group.now == 25
