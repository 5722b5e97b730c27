"""What every page of c2lst in a browser is made of: the centre's dashboard, the site's console, and the style of the report.

::

    tokens.css      colours, type and space of all pages         assets.py     style, script and icon, kept by browsers
    components.css  what pages are made of                       pages.py      templates and the headers of a page
    page.js         dates, live regions; pages work without it   sessions.py   who is signed in, and the cookie that shows it
    templates/      layout, parts, error page, sign-in           forms.py      tokens against forged requests, messages
    charts.py       charts as inline SVG                         live.py       server-sent events: "what you show has changed"
    words.py        dates, durations and sizes

Nothing here knows the centre or a site, and no page loads anything from elsewhere. starlette and jinja2 come with the extras
`server` and `client`.
"""
