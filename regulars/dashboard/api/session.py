"""`POST /session`: from the storefront's token to an address that signs the owner in to the pages."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings
from regulars.dashboard.api.bearer import SignedIn
from regulars.dashboard.api.openapi import PROBLEMS, problem
from regulars.dashboard.security.tokens import BUTTON_LASTS, Keys
from regulars.web.problems import Problem

router = APIRouter(tags=["sign-in"])


class SignInAddress(BaseModel):
    url: str = Field(
        examples=["https://regulars.example/sign-in?token=eyJhbGciOi…"],
        description="Send the owner's browser there at once. It works once, for whoever opens it first.",
    )
    expires_at: datetime = Field(examples=["2026-03-14T12:02:00Z"])


@router.post(
    "/session",
    status_code=201,
    response_model=SignInAddress,
    responses={
        201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "The same address."}}},
        401: PROBLEMS[401],
        500: PROBLEMS[500],
        501: problem(501, "Nobody can sign in here.", "The operator has set no secret that signs sessions."),
    },
)
def create_session(request: Request, response: Response, owner: SignedIn) -> SignInAddress:
    """An address that signs the token's owner in to the pages, for the button of a storefront."""
    keys: Keys = request.app.state.keys
    settings: Settings = request.app.state.settings
    try:
        token = keys.sign_in_link_token(owner.sub, lasts=BUTTON_LASTS)
    except SettingError:
        raise Problem(501, "Nobody can sign in here: REGULARS_JWT_SECRET is not set.") from None
    address = f"{settings.dashboard_url.rstrip('/')}/sign-in?token={token}"
    response.headers.update({"Location": address, "Cache-Control": "no-store"})
    return SignInAddress(url=address, expires_at=datetime.now(UTC).replace(microsecond=0) + BUTTON_LASTS)
