"""An Ed25519 key in Cloud KMS, which signs there and never leaves it.

https://cloud.google.com/kms/docs/create-validate-signatures
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.api_core.exceptions import from_http_response
from google_crc32c import value as crc32c

from bqdump.adapters.google.endpoints import KMS
from bqdump.adapters.google.errors import translated
from bqdump.adapters.google.http import TIMEOUT, credentials, session
from bqdump.adapters.patience import Patience, Retrying
from bqdump.adapters.signing_keys import KeyFileError, key_id, public_key
from bqdump.core.errors import UnavailableError, UsageError

ALGORITHM = "EC_SIGN_ED25519"
ROLE = "Requires roles/cloudkms.signerVerifier on the key."
MAKE = (
    "Create one: gcloud kms keys create KEY --keyring=RING --location=LOCATION --purpose=asymmetric-signing "
    "--default-algorithm=ec-sign-ed25519"
)


class KmsKey:
    """See Signer. version: projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V."""

    def __init__(self, version: str, patience: Patience) -> None:
        self._version, self._retrying = version, Retrying(patience)
        self._public: Ed25519PublicKey | None = None

    async def key_id(self) -> str:
        return key_id(await self._key())

    async def sign(self, data: bytes) -> bytes:
        """See Signer. The signature is verified with the public key, so that a damaged answer is not stored."""
        public = await self._key()
        return await self._retrying.call(lambda: asyncio.to_thread(self._sign, data, public))

    async def _key(self) -> Ed25519PublicKey:
        if self._public is None:
            self._public = await self._retrying.call(lambda: asyncio.to_thread(self._fetch))
        return self._public

    def _fetch(self) -> Ed25519PublicKey:
        answer = self._ask("read the public key of", "GET", "/publicKey")
        if (algorithm := answer.get("algorithm")) != ALGORITHM:
            raise UsageError("use", self._version, f"it is a key for {algorithm}, not {ALGORITHM}", MAKE)
        pem = str(answer.get("pem", "")).encode()
        if "pemCrc32c" in answer and int(answer["pemCrc32c"]) != crc32c(pem):
            raise self._damaged("read the public key of")
        try:
            return public_key(pem)
        except KeyFileError:
            raise self._damaged("read the public key of") from None

    def _sign(self, data: bytes, public: Ed25519PublicKey) -> bytes:
        body = {"data": base64.b64encode(data).decode(), "dataCrc32c": str(crc32c(data))}
        answer = self._ask("sign with", "POST", ":asymmetricSign", json=body)
        try:
            signature = base64.b64decode(str(answer.get("signature", "")), validate=True)
            public.verify(signature, data)
        except (InvalidSignature, binascii.Error):
            raise self._damaged("sign with") from None
        return signature

    def _ask(self, operation: str, method: str, rest: str, **options: Any) -> dict[str, Any]:
        url = f"{KMS.address.rstrip('/')}/v1/{self._version}{rest}"
        with session(credentials(KMS.variable)) as http, translated(operation, self._version, ROLE):
            response = http.request(method, url, timeout=TIMEOUT, **options)
            if not response.ok:
                raise from_http_response(response)
            answer = response.json()
        return answer if isinstance(answer, dict) else {}

    def _damaged(self, operation: str) -> UnavailableError:
        return UnavailableError(operation, self._version, "the answer was damaged on the way")
