"""The pages of the inbox: plain HTML without scripts, nothing from outside, every value escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from string import Template

from service.stack.mailbox.reading import Read

_STYLE = """
:root { color-scheme: light dark; font: 100%/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; }
a { color: LinkText; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
.skip:not(:focus) { position: absolute; left: -100rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid GrayText; }
td { overflow-wrap: anywhere; }
caption { text-align: left; padding: .4rem 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid GrayText; padding: .8rem; }
iframe { width: 100%; height: 70vh; border: 1px solid GrayText; background: #fff; color-scheme: light; }
nav a { margin-right: 1rem; }
"""
_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()

#: Of our own pages: one style sheet, within them, and frames of ours.
PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Of the HTML that somebody sent: it loads nothing, runs nothing, leads nowhere.
MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<a class="skip" href="#content">To the content</a>
<header><nav aria-label="Inbox">$links</nav></header>
<main id="content" tabindex="-1">
<h1>$title</h1>
$body
</main>
</body>
</html>
"""
)


def _page(title: str, links: str, body: str) -> str:
    return _PAGE.substitute(title=escape(title), style=_STYLE, links=links, body=body)


def list_page(rows: Sequence[tuple[int, dict[str, str]]], total: int, older: int | None) -> str:
    """The list of mails, the newest first.

    Args:
        rows: number and fields of each.
        total: how many there are.
        older: the number below which the next page begins; None on the last.
    """
    if not rows:
        return _page("Inbox", '<a href="/">Reload</a>', "<p>No mail yet. What campaigns send by e-mail shows here.</p>")
    lines = "".join(_row(number, fields) for number, fields in rows)
    more = f'<p><a href="/?before={older}">Older mails</a></p>' if older is not None else ""
    head = "".join(f'<th scope="col">{name}</th>' for name in ("No.", "To", "Subject", "Date"))
    body = (
        f'<div class="wide"><table><caption>{total} mails, the newest first. They went to nobody.</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>{more}"
    )
    return _page("Inbox", '<a href="/">Newest</a>', body)


def _row(number: int, fields: dict[str, str]) -> str:
    to = fields.get("Delivered-To") or fields.get("To", "")
    subject = fields.get("Subject", "").strip() or "(no subject)"
    return (
        f'<tr><td>{number}</td><td>{escape(to)}</td><td><a href="/mails/{number}">{escape(subject)}</a></td>'
        f"<td>{escape(fields.get('Date', ''))}</td></tr>"
    )


def mail_page(number: int, mail: Read, size: int) -> str:
    """One mail: fields, links, text, HTML."""
    fields = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in mail.fields.items()
    )
    parts = [f'<div class="wide"><table><caption>{size} bytes</caption><tbody>{fields}</tbody></table></div>']
    if mail.html is not None:
        parts.append(
            '<h2 id="html">HTML</h2><p>Without pictures and links: those are below.</p>'
            f'<iframe sandbox="" src="/mails/{number}/html" title="HTML of the mail"></iframe>'
        )
    if mail.text is not None:
        parts.append(f'<h2 id="text">Text</h2><pre tabindex="0">{escape(mail.text)}</pre>')
    if mail.links:
        items = "".join(
            f'<li><a href="{escape(one)}" rel="noopener noreferrer" target="_blank">{escape(one)}</a></li>'
            for one in mail.links
        )
        parts.append(f'<h2 id="links">Links</h2><ul>{items}</ul>')
    here = [
        name
        for name, is_there in (("HTML", mail.html is not None), ("Text", mail.text is not None), ("Links", mail.links))
        if is_there
    ]
    links = '<a href="/">Inbox</a>' + "".join(f'<a href="#{name.lower()}">{name}</a>' for name in here)
    links += f'<a href="/mails/{number}/raw">Raw</a>'
    return _page(mail.fields.get("Subject", "").strip() or "(no subject)", links, "".join(parts))


def missing_page() -> str:
    """There is no such mail."""
    return _page("Not here", '<a href="/">Inbox</a>', "<p>There is no such mail, or it made room for newer ones.</p>")
