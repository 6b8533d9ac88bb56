"""Questions before something is saved, each checked against its documented form."""

from __future__ import annotations

from typing import Any

from service.api.preview import BacktestData, PreviewData
from service.api.questions import DryRunData
from service.api.schemas import Answer
from service.core import instants
from tests.api.support import Api

DAY = instants.DAY
BUYERS = {"total_orders": {"operator": "gte", "value": 1}}
RECENT = {"last_order_date": {"operator": "within_last", "days": 10}}


async def preview(api: Api, criteria: Any, **options: Any) -> dict[str, Any]:
    """A preview, checked against its documented form."""
    headers = options.pop("headers", {})
    response = await api.send("POST", "/preview", json={"criteria": criteria, **options}, headers=headers)
    assert response.status_code == 200, response.text
    PreviewData.model_validate(Answer[PreviewData].model_validate(response.json()).data)
    return response.json()["data"]


async def dry_run(api: Api, segment: dict[str, Any], **change: Any) -> dict[str, Any]:
    """A dry run, checked against its documented form."""
    response = await api.send("PUT", f"/{segment['id']}?dry_run=true", json=change)
    assert response.status_code == 200, response.text
    DryRunData.model_validate(Answer[DryRunData].model_validate(response.json()).data)
    return response.json()["data"]


async def backtest(api: Api, **body: Any) -> list[dict[str, Any]]:
    """The steps of a backtest, checked against its documented form."""
    response = await api.send("POST", "/backtest", json=body)
    assert response.status_code == 200, response.text
    BacktestData.model_validate(Answer[BacktestData].model_validate(response.json()).data)
    return response.json()["data"]["steps"]
