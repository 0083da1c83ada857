"""Tokens: which key verifies which, what each is valid for, and the error where there is no key."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from pydantic import SecretStr

from ingest.storage.errors import SettingError
from ingest.storage.settings import Settings
from regulars.dashboard.security.tokens import SESSION, SIGN_IN, Keys, NotSignedIn, Owner

SECRET = "the-secret-that-signs-what-owners-show"
API = "authenticated"
ED = ed25519.Ed25519PrivateKey.generate()
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _claims(**changes: Any) -> dict[str, Any]:
    return {"sub": "ama", "aud": API, "exp": int(time.time()) + 60} | changes


def _jwks(file: Path, *keys: dict[str, Any]) -> Path:
    file.write_text(json.dumps({"keys": keys}))
    return file


def _public(**changes: Any) -> dict[str, dict[str, Any]]:
    return {
        "RS256": json.loads(RSAAlgorithm.to_jwk(RSA.public_key())) | {"kid": "rsa", "alg": "RS256"} | changes,
        "ES256": json.loads(ECAlgorithm.to_jwk(EC.public_key())) | {"kid": "ec", "alg": "ES256"} | changes,
        "EdDSA": json.loads(OKPAlgorithm.to_jwk(ED.public_key())) | {"kid": "ed", "alg": "EdDSA"} | changes,
    }


@pytest.fixture
def keys() -> Keys:
    return Keys(Settings(jwt_secret=SecretStr(SECRET)))


def test_each_kind_of_token_is_valid_for_one_purpose_only(keys: Keys) -> None:
    tokens = {
        SIGN_IN: keys.sign_in_link_token("ama"),
        SESSION: keys.session("ama"),
        API: keys.api_token("ama", lasts=timedelta(hours=1)),
    }
    for purpose, token in tokens.items():
        for audience in tokens:
            if audience == purpose:
                assert keys.verify(token, audience=audience) == Owner("ama")
            else:
                with pytest.raises(NotSignedIn):
                    keys.verify(token, audience=audience)
    assert keys.verify(tokens[API]) == Owner("ama")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"exp": -5}, None),
        ({"exp": -30}, "expired"),
        ({"nbf": 5}, None),
        ({"nbf": 60}, "not valid"),
        ({"iat": 60}, "not valid"),
        ({"exp": "soon"}, "not valid"),
        ({"exp": float("inf")}, "not valid"),
        ({"aud": ["x", API]}, None),
        ({"aud": []}, "not valid"),
        ({"sub": 7}, "not valid"),
        ({"sub": None}, "not valid"),
        ({"sub": "a\nb"}, "not valid"),
    ],
    ids=str,
)
def test_the_claims_of_a_token_are_verified_with_little_leeway(
    keys: Keys, changes: dict[str, Any], reason: str | None
) -> None:
    """Times are in seconds from now."""
    now = int(time.time())
    claims = _claims(
        **{name: now + value if type(value) is int and name != "sub" else value for name, value in changes.items()}
    )
    # By hand, because PyJWT would refuse some of these.
    token = jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, "HS256")
    if reason is None:
        assert keys.verify(token).sub == "ama"
    else:
        with pytest.raises(NotSignedIn) as refused:
            keys.verify(token)
        assert refused.value.reason == reason


@pytest.mark.parametrize(("algorithm", "private"), [("RS256", RSA), ("ES256", EC), ("EdDSA", ED)])
def test_public_keys_verify_their_own_algorithm_and_kid_only(tmp_path: Path, algorithm: str, private: Any) -> None:
    file = _jwks(tmp_path / "jwks.json", *_public().values())
    keys = Keys(Settings(jwks_file=file))
    kid = _public()[algorithm]["kid"]
    assert keys.verify(jwt.encode(_claims(), private, algorithm=algorithm, headers={"kid": kid})).sub == "ama"
    assert keys.verify(jwt.encode(_claims(), private, algorithm=algorithm)).sub == "ama"
    for token in (
        jwt.encode(_claims(), private, algorithm=algorithm, headers={"kid": "other"}),
        jwt.encode(_claims(), SECRET),
        # A public key can't sign our sessions.
        jwt.encode(_claims(aud=SESSION), private, algorithm=algorithm, headers={"kid": kid}),
    ):
        for audience in (None, SESSION):
            with pytest.raises(NotSignedIn):
                keys.verify(token, audience=audience)
    with pytest.raises(SettingError, match="REGULARS_JWT_SECRET is not set"):
        keys.session("ama")


def test_of_several_keys_without_kid_any_may_have_signed(tmp_path: Path) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    theirs = json.loads(RSAAlgorithm.to_jwk(other.public_key())) | {"kid": "next"}
    keys = Keys(Settings(jwks_file=_jwks(tmp_path / "jwks.json", _public()["RS256"], theirs)))
    for private in (RSA, other):
        assert keys.verify(jwt.encode(_claims(), private, algorithm="RS256")).sub == "ama"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "is not a JWKS"),
        ("[]", "is not a JWKS"),
        ('{"keys": []}', "is not a JWKS"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlYw"}]}', "holds no key for RS256"),
        (json.dumps({"keys": [_public(use="enc")["RS256"]]}), "holds no key for RS256"),
    ],
)
def test_a_file_without_a_usable_key_is_refused(tmp_path: Path, written: str, said: str) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(written)
    with pytest.raises(SettingError, match=said):
        Keys(Settings(jwks_file=file))


def test_a_public_key_as_the_secret_and_our_own_audience_are_refused() -> None:
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(SettingError, match="is a public key"):
        Keys(Settings(jwt_secret=SecretStr(pem.decode())))
    with pytest.raises(SettingError, match="REGULARS_JWT_AUDIENCE"):
        Keys(Settings(jwt_secret=SecretStr(SECRET), jwt_audience=SESSION))
