"""Two owners at every endpoint: each reads only the rows of their own shops, whatever the token or the request."""

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from flows.steps import run_refresh
from ingest.storage.settings import Settings
from regulars.dashboard.app import create_app
from regulars.dashboard.security.tokens import SESSION, SIGN_IN, Keys
from tests.api import API, NUMBERS, bearer
from tests.conftest import NAME, Database, Server
from tests.owners import SECRET, TwoOwners, copy_of, count_this_month, settings_of, two_owners
from tests.served import served
from tests.storefront import fetch

PATHS = [*NUMBERS, "list", "export.csv"]
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def owners(server: Server, built_template: str) -> TwoOwners:
    return two_owners(server, built_template)


@pytest.fixture(scope="module")
def copied(server: Server, owners: TwoOwners) -> Iterator[Database]:
    # Under the tests' own name, because dbt would parse its project again for another.
    with copy_of(server, owners, name=NAME) as database:
        yield database


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def client(
    copied: Database, private: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    jwks = tmp_path_factory.mktemp("keys") / "jwks.json"
    key = json.loads(RSAAlgorithm.to_jwk(private.public_key())) | {"kid": "one", "use": "sig", "alg": "RS256"}
    jwks.write_text(json.dumps({"keys": [key]}))
    with served(create_app(settings_of(copied, jwks_file=jwks)), headers={}) as client:
        yield client


def _ids_of(database: Database, owners: TwoOwners, owner: UUID) -> set[str]:
    """Every id in the rows of the owner's shops."""
    shops = [shop.shop_id for shop in owners.of(owner)]
    with database.connect() as connection:
        rows = fetch(
            connection,
            "select id::text from user_shops where id = any(%(shops)s) "
            "union all select id::text from shop_orders where shop_id = any(%(shops)s) "
            "union all select id::text from regulars.customers where shop_id = any(%(shops)s) "
            "union all select id::text from regulars.tracking where shop_id = any(%(shops)s)".replace(
                "%(shops)s", "%s"
            ),
            *[shops] * 4,
        )
    return {str(row[0]) for row in rows}


def _everything(client: httpx.Client, database: Database, owners: TwoOwners, owner: UUID) -> dict[str, str]:
    """Path → the response's body, for every shop and every customer of the owner."""
    headers, told = bearer(settings_of(database), owner), {}
    for shop in owners.of(owner):
        for path in PATHS:
            told[f"{path}?shop={shop.slug}"] = ""
        page = client.get(f"{API}/list", params={"shop": shop.slug, "limit": 200}, headers=headers).json()
        told |= {f"{row['customer_id']}/history?shop={shop.slug}": "" for row in page["customers"]}
    for path in told:
        answer = client.get(f"{API}/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        told[path] = answer.text
    return told


def test_two_owners_see_disjoint_rows_before_and_after_a_rebuild(
    client: httpx.Client, copied: Database, owners: TwoOwners
) -> None:
    count_this_month(copied, owners)
    before = {owner: _everything(client, copied, owners, owner) for owner in (owners.ama, owners.kofi)}
    _assert_disjoint(copied, owners, before)
    run_refresh(copied.settings, mode="rebuild")
    after = {owner: _everything(client, copied, owners, owner) for owner in (owners.ama, owners.kofi)}
    _assert_disjoint(copied, owners, after)
    for owner, told in before.items():
        for path, text in told.items():
            assert _timeless(after[owner][path]) == _timeless(text), path


def _timeless(text: str) -> str:
    return re.sub(r'"as_of":"[^"]+"', "", text)


def _assert_disjoint(database: Database, owners: TwoOwners, told: dict[UUID, dict[str, str]]) -> None:
    for owner, other in ((owners.ama, owners.kofi), (owners.kofi, owners.ama)):
        own, others = _ids_of(database, owners, owner), _ids_of(database, owners, other)
        assert not own & others
        seen = set(_UUID.findall("\n".join(told[owner].values())))
        assert seen, "the responses hold no id at all"
        assert seen <= own
        other_slugs = [shop.slug for shop in owners.of(other)]
        for text in told[owner].values():
            assert not any(f"@{slug}.example" in text for slug in other_slugs)


def test_another_owners_shop_or_customer_gets_the_response_of_one_that_does_not_exist(
    client: httpx.Client, copied: Database, owners: TwoOwners
) -> None:
    headers = bearer(settings_of(copied), owners.kofi)
    with copied.connect() as connection:
        anothers, own = (
            fetch(connection, "select shop_customer_id from analytics.customers where shop_id = %s limit 1", shop_id)[
                0
            ][0]
            for shop_id in (owners.shops["ama-data"].shop_id, owners.shops["kofi-data"].shop_id)
        )
    for path in PATHS:
        missing = client.get(f"{API}/{path}?shop=there-is-none", headers=headers)
        assert missing.status_code == 404
        for shop in owners.of(owners.ama):
            for name in (shop.slug, str(shop.shop_id)):
                answer = client.get(f"{API}/{path}", params={"shop": name}, headers=headers)
                assert (answer.status_code, answer.content) == (404, missing.content)
    missing = client.get(f"{API}/{uuid4()}/history", headers=headers)
    answer = client.get(f"{API}/{anothers}/history", headers=headers)
    assert missing.status_code == answer.status_code == 404
    assert missing.content == answer.content
    assert {k: v for k, v in missing.headers.items() if k != "date"} == {
        k: v for k, v in answer.headers.items() if k != "date"
    }
    assert client.get(f"{API}/{own}/history", headers=headers).status_code == 200
    # The owner of two shops doesn't find the customer in the other shop either.
    of_ama = bearer(settings_of(copied), owners.ama)
    assert client.get(f"{API}/{anothers}/history?shop=ama-data", headers=of_ama).status_code == 200
    assert client.get(f"{API}/{anothers}/history?shop=ama-more", headers=of_ama).content == missing.content


def test_an_owner_of_several_shops_must_name_one(client: httpx.Client, copied: Database, owners: TwoOwners) -> None:
    answer = client.get(f"{API}/analytics", headers=bearer(settings_of(copied), owners.ama))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["shops"] == ["ama-data", "ama-more"]
    assert answer.json()["errors"] == [{"parameter": "shop", "detail": "is missing"}]
    by_id = {"shop": str(owners.shops["ama-more"].shop_id)}
    named = client.get(f"{API}/analytics", params=by_id, headers=bearer(settings_of(copied), owners.ama))
    assert named.json()["shop_id"] == by_id["shop"]
    alone = client.get(f"{API}/analytics", headers=bearer(settings_of(copied), owners.kofi))
    assert alone.json()["shop_id"] == str(owners.shops["kofi-data"].shop_id)


def _unsigned(header: dict[str, str], claims: dict[str, object]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    return ".".join([*parts, ""])


def _invalid_tokens(claims: dict[str, object], private: rsa.RSAPrivateKey) -> dict[str, str]:
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    good = jwt.encode(claims, SECRET)
    head, body, signature = good.split(".")
    others_body = jwt.encode(claims | {"sub": str(uuid4())}, SECRET).split(".")[1]
    now = int(time.time())
    # By hand, as an attacker would: PyJWT refuses to sign with a public key.
    confused = jwt.api_jws.PyJWS(algorithms=[])
    confused.register_algorithm("HS256", _Careless(jwt.algorithms.HMACAlgorithm.SHA256))
    return {
        "forged": jwt.encode(claims, "another-secret-that-is-as-long-as-ours"),
        "another body": ".".join([head, others_body, signature]),
        "no signature": f"{head}.{body}.",
        "expired": jwt.encode(claims | {"exp": now - 60}, SECRET),
        "not yet": jwt.encode(claims | {"nbf": now + 60}, SECRET),
        "made in the future": jwt.encode(claims | {"iat": now + 60}, SECRET),
        "none": jwt.encode(claims, None, algorithm="none"),
        "None": _unsigned({"alg": "None", "typ": "JWT"}, claims),
        "other audience": jwt.encode(claims | {"aud": "anon"}, SECRET),
        "a sign-in link's": jwt.encode(claims | {"aud": SIGN_IN}, SECRET),
        "a session's": jwt.encode(claims | {"aud": SESSION}, SECRET),
        **{f"without {name}": jwt.encode({k: v for k, v in claims.items() if k != name}, SECRET) for name in claims},
        "empty sub": jwt.encode(claims | {"sub": ""}, SECRET),
        "blank sub": jwt.encode(claims | {"sub": " "}, SECRET),
        "NUL in sub": jwt.encode(claims | {"sub": "a\0b"}, SECRET),
        "long sub": jwt.encode(claims | {"sub": "x" * 256}, SECRET),
        "other hash": jwt.encode(claims, SECRET * 2, algorithm="HS512"),
        "HS256 with the public key": confused.encode(json.dumps(claims).encode(), public, "HS256"),
        "another's RSA": jwt.encode(claims, stranger, algorithm="RS256", headers={"kid": "one"}),
        "unknown kid": jwt.encode(claims, private, algorithm="RS256", headers={"kid": "two"}),
        "other RSA": jwt.encode(claims, private, algorithm="PS256", headers={"kid": "one"}),
        "crit": jwt.encode(claims, SECRET, headers={"crit": ["x"], "x": 1}),
        "garbage": "garbage",
        "dots": "..",
        "not text": "Á.Á.Á",
    }


class _Careless(jwt.algorithms.HMACAlgorithm):
    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


def test_an_invalid_token_is_401_without_the_reason(
    client: httpx.Client, owners: TwoOwners, private: rsa.RSAPrivateKey
) -> None:
    claims: dict[str, object] = {
        "sub": str(owners.kofi),
        "aud": "authenticated",
        "exp": int(time.time()) + 300,
    }
    good = {
        "HS256": jwt.encode(claims | {"iat": int(time.time()), "aud": ["x", "authenticated"]}, SECRET),
        "RS256": jwt.encode(claims, private, algorithm="RS256", headers={"kid": "one"}),
        "without kid": jwt.encode(claims, private, algorithm="RS256"),
    }
    for name, token in good.items():
        answer = client.get(f"{API}/analytics", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, name) == (200, name)
    for name, token in _invalid_tokens(claims, private).items():
        for path in [*PATHS, f"{uuid4()}/history"] if name in ("forged", "none") else ["analytics"]:
            answer = client.get(f"{API}/{path}", headers={"Authorization": f"Bearer {token}".encode()})  # type: ignore[dict-item]
            assert (answer.status_code, answer.headers["content-type"], name) == (401, "application/problem+json", name)
            assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
            expected = "The token has expired." if name == "expired" else "The token is not valid."
            assert answer.json()["detail"] == expected, name
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {good['HS256']}"}):
        answer = client.get(f"{API}/analytics", headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert client.get(f"{API}/analytics?token={good['HS256']}").status_code == 401


def test_a_user_without_a_shop_finds_none(client: httpx.Client, copied: Database, owners: TwoOwners) -> None:
    for sub in (uuid4(), "somebody", owners.shops["kofi-data"].shop_id):
        answer = client.get(f"{API}/list", headers=bearer(settings_of(copied), sub))
        assert (answer.status_code, answer.json()["detail"]) == (404, "You have no such shop.")


def test_a_key_file_that_changes_is_read_again(tmp_path: Path) -> None:
    first, second = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": [json.loads(RSAAlgorithm.to_jwk(first.public_key())) | {"alg": "RS256"}]}))
    keys = Keys(Settings(jwks_file=file))
    claims = {"sub": "x", "aud": "authenticated", "exp": int(time.time()) + 300}
    assert keys.verify(jwt.encode(claims, first, algorithm="RS256")).sub == "x"
    file.write_text(json.dumps({"keys": [json.loads(RSAAlgorithm.to_jwk(second.public_key())) | {"kid": "second"}]}))
    assert keys.verify(jwt.encode(claims, second, algorithm="RS256")).sub == "x"
    with pytest.raises(Exception, match="not valid"):
        keys.verify(jwt.encode(claims, first, algorithm="RS256"))
    file.write_text("{")
    assert keys.verify(jwt.encode(claims, second, algorithm="RS256")).sub == "x"
