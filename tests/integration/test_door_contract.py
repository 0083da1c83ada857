"""What the HTTP door says of itself in /openapi.json holds."""

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from pydantic import SecretStr, ValidationError
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection

from ingest.settings import Settings
from regulars.http import contract
from regulars.http.app import create_app
from regulars.http.bodies import CheckoutBody, VisitBody
from tests.conftest import Database
from tests.served import run_as_a_process

TOKEN = "the-token-of-the-storefront"
CHECKOUTS = "/api/ingest/checkouts"
VISITS = "/api/ingest/visits"


def test_the_examples_are_what_the_door_takes() -> None:
    paths = create_app(Settings(ingest_tokens=(SecretStr(TOKEN),))).openapi()["paths"]
    for path, model in ((CHECKOUTS, CheckoutBody), (VISITS, VisitBody)):
        examples = paths[path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        model.model_validate(examples["one"]["value"])
        for event in examples["batch"]["value"][path.rsplit("/", 1)[1]]:
            model.model_validate(event)
        with pytest.raises(ValidationError):
            model.model_validate(examples["one"]["value"] | {"shop_id": "x"})
        for status, answer in paths[path]["post"]["responses"].items():
            for content in answer["content"].values():
                for example in content.get("examples", {}).values():
                    for one in example["value"].get("answers", [example["value"]]):
                        if int(status) < 400 and one["outcome"] != "invalid":
                            contract.AnswerBody.model_validate(one)


def test_no_body_makes_the_door_break_or_answer_what_it_does_not_document(migrated: Database, tmp_path: Path) -> None:
    with run_as_a_process(home=tmp_path, database_url=migrated.conninfo, tokens=TOKEN) as (where, _):
        schema = schemathesis.openapi.from_url(f"{where}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]
        assert {operation.path for operation in operations} == {CHECKOUTS, VISITS}
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

                @bounds(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
                @given(case=operation.as_strategy(generation_mode=mode))
                def holds(case: schemathesis.Case) -> None:
                    answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
                    # A batch's bad events are refused one by one, within the answer.
                    excluded = [negative_data_rejection] if answer.status_code == 207 else []
                    case.validate_response(answer, excluded_checks=excluded)

                holds()
