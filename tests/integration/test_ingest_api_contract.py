"""The ingest API's settings, and that it keeps the contract in /openapi.json."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from pydantic import SecretStr, ValidationError
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings
from regulars.ingest_api import openapi as contract
from regulars.ingest_api.app import create_app
from regulars.ingest_api.bodies import CheckoutBody, ErasureBody, PersonBody, VisitBody
from tests.conftest import Database
from tests.integration.test_command import regulars
from tests.person import KEY
from tests.served import run_as_a_process

TOKEN = "the-token-of-the-storefront"
NEXT = "the-token-that-comes-next"
CHECKOUTS = "/api/ingest/checkouts"
VISITS = "/api/ingest/visits"
ERASURES = "/api/ingest/erasures"
ACCESS_REQUESTS = "/api/ingest/access-requests"


@pytest.mark.usefixtures("takes_long")
def test_the_api_does_not_start_without_a_token_or_with_a_short_one(home: Path) -> None:
    with pytest.raises(SettingError, match="REGULARS_INGEST_TOKENS is not set"):
        create_app(Settings())
    assert "REGULARS_INGEST_TOKENS is not set" in regulars("ingest-api", home=home).stderr
    with pytest.raises(SettingError, match="at least 16 characters") as error:
        Settings.from_environment({"REGULARS_INGEST_TOKENS": f"{TOKEN},short-secret"})
    assert "short-secret" not in str(error.value)
    read = Settings.from_environment({"REGULARS_INGEST_TOKENS": f" {TOKEN} , {NEXT},"})
    assert [token.get_secret_value() for token in read.ingest_tokens] == [TOKEN, NEXT]
    assert TOKEN not in repr(read)


def test_the_examples_are_valid() -> None:
    paths = create_app(Settings(ingest_tokens=(SecretStr(TOKEN),))).openapi()["paths"]
    for path, model in ((CHECKOUTS, CheckoutBody), (VISITS, VisitBody)):
        examples = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        model.model_validate(examples["one"]["value"])
        for event in examples["batch"]["value"][path.rsplit("/", 1)[1]]:
            model.model_validate(event)
        with pytest.raises(ValidationError):
            model.model_validate(examples["one"]["value"] | {"shop_id": "x"})
        (refused,) = paths[path]["post"]["responses"]["503"]["content"].values()
        assert "refused" in [answer["outcome"] for answer in refused["examples"]["batch"]["value"]["answers"]]
        for status, answer in paths[path]["post"]["responses"].items():
            for content in answer["content"].values():
                for example in content.get("examples", {}).values():
                    for one in example["value"].get("answers", [example["value"]] if int(status) < 400 else []):
                        if one["outcome"] != "invalid":
                            contract.AnswerBody.model_validate(one)
    for path, body, answered in (
        (ERASURES, ErasureBody, contract.ErasedBody),
        (ACCESS_REQUESTS, PersonBody, contract.HeldBody),
    ):
        documented = paths[path]["post"]
        body.model_validate(documented["requestBody"]["content"]["application/json"]["examples"]["one"]["value"])
        answered.model_validate(
            documented["responses"]["200"]["content"]["application/json"]["examples"]["one"]["value"]
        )


@pytest.mark.usefixtures("takes_long")
def test_no_body_causes_an_internal_error_or_an_undocumented_answer(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGULARS_ERASURE_KEY", KEY)
    with run_as_a_process(home=tmp_path, database_url=migrated.conninfo, tokens=TOKEN) as (where, _):
        schema = schemathesis.openapi.from_url(f"{where}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        assert {operation.path for operation in operations} == {CHECKOUTS, VISITS, ERASURES, ACCESS_REQUESTS}
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

                @bounds(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
                @given(case=operation.as_strategy(generation_mode=mode))
                def holds(case: schemathesis.Case) -> None:
                    answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
                    # The invalid events of a batch are refused one by one, within the answer.
                    excluded = [negative_data_rejection] if answer.status_code == 207 else []
                    case.validate_response(answer, excluded_checks=excluded)

                holds()
