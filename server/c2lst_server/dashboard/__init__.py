"""The centre in a browser: what an administrator sees and may do, by the same functions that commands and interface call.

::

    viewer.py     who is signed in, what they may do, and whether a form is theirs    sign_in.py   in and out
    sessions.py   sessions of administrators, in the database                        overview.py  what needs attention
    pages.py      templates, navigation, answers                                     releases.py, trainings.py, sites.py,
    live.py       tells pages that something changed                                 rounds.py, actions.py: one page group each

Modules named after page groups hold routes only. What they show is gathered by `attention.py` (what somebody has to do),
`site_rows.py`, `release_rows.py` and `round_results.py`.
"""
