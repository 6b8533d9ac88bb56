"""GET /asyncapi: the topics and their events, as a document and as a page without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from html import escape
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from service.app.asyncapi import Topics, document
from service.app.exact_json import dumps
from service.settings import Settings

MEDIA_TYPE: Final = "application/vnd.aai.asyncapi+json;version=3.0.0"
router: Final = APIRouter(include_in_schema=False)

_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .2rem .6rem .2rem 0;
vertical-align: top; border-bottom: 1px solid #ddd; } pre, code { background: #f4f4f4; padding: .1rem .3rem; }
pre { padding: .6rem; overflow: auto; } summary { cursor: pointer; font-weight: 600; margin: .4rem 0; }
"""


@router.get("/asyncapi")
async def asyncapi(request: Request) -> Response:
    """AsyncAPI 3.0 as JSON; a page where the client prefers one."""
    made = _document(request.app.state.settings)
    accept = request.headers.get("accept", "")
    headers = {"vary": "accept"}
    if "text/html" in accept:
        headers["content-security-policy"] = _POLICY
        return Response(_page(made), headers=headers, media_type="text/html; charset=utf-8")
    media_type = MEDIA_TYPE if "asyncapi" in accept else "application/json"
    return Response(dumps(made), headers=headers, media_type=media_type)


@lru_cache(maxsize=8)
def _of_topics(topics: Topics) -> dict[str, Any]:
    return document(topics, version("customer-segments"))


def _document(settings: Settings) -> dict[str, Any]:
    return _of_topics(
        Topics(
            settings.orders_topic,
            settings.customers_topic,
            settings.membership_topic,
            settings.dead_letter_topic,
            settings.partitions,
            settings.messages_topic,
            settings.engagement_topic,
        )
    )


def _page(made: dict[str, Any]) -> str:
    info = made["info"]
    parts = "".join(_channel(made, one) for one in made["channels"].values())
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} events</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(info['title'])} {escape(info['version'])}: events</h1>"
        f"<p>{escape(info['description'])} This page shows what an AsyncAPI 3.0 document says; send "
        f"<code>Accept: application/json</code> for the document itself.</p>{parts}</body></html>"
    )


def _channel(made: dict[str, Any], channel: dict[str, Any]) -> str:
    messages = "".join(_message(made, made["components"]["messages"][name]) for name in channel["messages"])
    said = escape(channel["description"])
    return f"<h2>{escape(channel['title'])}: <code>{escape(channel['address'])}</code></h2><p>{said}</p>{messages}"


def _message(made: dict[str, Any], message: dict[str, Any]) -> str:
    payload = _resolved(made, message["payload"])
    body = _resolved(made, payload.get("properties", {}).get("data", payload))
    tables = "".join(
        f"<p>{title}</p><table><tr><th>field</th><th>type</th><th></th></tr>{''.join(_rows(made, schema))}</table>"
        for title, schema in (("Headers", message.get("headers", {})), ("Data", body))
        if schema.get("properties")
    )
    examples = "".join(
        f"<p>{escape(one['name'])}</p><pre>{escape(dumps(one['payload']).decode())}</pre>"
        for one in message.get("examples", ())
    )
    said = escape(body.get("description", payload.get("description", "")))
    return f"<details><summary>{escape(message['title'])}</summary><p>{said}</p>{tables}{examples}</details>"


def _rows(made: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    needed = schema.get("required", ())
    for name, one in schema["properties"].items():
        mark = "" if name in needed else " (optional)"
        cells = (f"<code>{escape(name)}</code>{mark}", escape(_type(made, one)), escape(one.get("description", "")))
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _type(made: dict[str, Any], schema: dict[str, Any]) -> str:
    """The type in a few words."""
    found = _resolved(made, schema)
    if "anyOf" in found:
        return " or ".join(dict.fromkeys(_type(made, one) for one in found["anyOf"]))
    if "const" in found or "enum" in found:
        return ", ".join(str(one) for one in found.get("enum", [found.get("const")]))
    if found.get("type") == "array":
        return f"list of {_type(made, found['items'])}"
    kinds = found.get("type", "anything")
    return " or ".join(kinds) if isinstance(kinds, list) else kinds


def _resolved(made: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return made["components"]["schemas"][name] if name else schema
