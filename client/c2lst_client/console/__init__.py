"""The site's console: pages in a browser for the people who answer for this installation, on this machine alone.

::

    serve.py          where it listens, and its process       overview.py   what needs attention
    access_token.py   the token that opens it                 rounds.py     what the centre asks for, and its progress
    kept_sessions.py  who is signed in, over a restart        decisions.py  approve, decline, cancel
    door.py           who is let in, by which name            policy.py     what this institution agrees to
    signing_in.py     the form for the token                  slides.py     spots, adapters, results, galleries, reports
    app.py            all of it together                      record.py     what has left, byte for byte
    site_console.py   what pages share                        doctor.py     the page of `doctor`, and checkup.py, its process
    reading_forms.py  what forms may hold                     live.py       when something that pages show has changed
    round_view.py     a round in words

Handlers are thin: each calls the library function that the command line calls, and renders a template of `templates/`.
"""
