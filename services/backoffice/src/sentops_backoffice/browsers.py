"""Browsers by name, so that people know their sessions apart. A hint only: a browser can say what it likes."""

import re

# In this order: each of the later ones is also named by those before it.
_BROWSERS = (
    ("Edge", re.compile(r"\bEdgA?/(\d+)")),
    ("Opera", re.compile(r"\bOPR/(\d+)")),
    ("Samsung Internet", re.compile(r"\bSamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"\b(?:Chrome|CriOS|HeadlessChrome)/(\d+)")),
    ("Safari", re.compile(r"\bVersion/(\d+)[^ ]* .*Safari/")),
    ("curl", re.compile(r"^curl/(\d+)")),
)
_SYSTEMS = (
    ("Android", re.compile("Android")),
    ("iPhone", re.compile("iPhone")),
    ("iPad", re.compile("iPad")),
    ("Windows", re.compile("Windows NT")),
    ("macOS", re.compile("Mac OS X|Macintosh")),
    ("ChromeOS", re.compile("CrOS")),
    ("Linux", re.compile("Linux|X11")),
)
_LONGEST = 80


def browser_of(user_agent: str) -> str:
    """Such as "Firefox 145, Linux"; else the beginning of what it says of itself; empty when it says nothing."""
    browser = next(
        (f"{name} {found[1]}" for name, form in _BROWSERS if (found := form.search(user_agent))),
        None,
    )
    system = next((name for name, form in _SYSTEMS if form.search(user_agent)), None)
    if browser is None:
        return user_agent[:_LONGEST]
    return f"{browser}, {system}" if system else browser
