"""The fields of Cloud Storage's requests. A test compares them with Google's API description.

https://storage.googleapis.com/$discovery/rest?version=v1
"""

from __future__ import annotations

from bqdump_local.fields import Checker, schema
from bqdump_local.storage.errors import ApiError

SCHEMAS = {
    "Bucket": schema(
        effect="""defaultEventBasedHold encryption:Bucket.encryption labels location name
            retentionPolicy:Bucket.retentionPolicy storageClass versioning:Bucket.versioning""",
        recorded="""autoclass billing cors iamConfiguration lifecycle logging rpo
            softDeletePolicy:Bucket.softDeletePolicy website""",
        missing="acl customPlacementConfig defaultObjectAcl hierarchicalNamespace ipFilter",
        output="""etag generation hardDeleteTime id kind locationType metageneration objectRetention owner projectNumber
            satisfiesPZI satisfiesPZS selfLink softDeleteTime timeCreated updated""",
    ),
    "Bucket.encryption": schema(
        effect="defaultKmsKeyName",
        missing="""customerManagedEncryptionEnforcementConfig customerSuppliedEncryptionEnforcementConfig
            googleManagedEncryptionEnforcementConfig""",
    ),
    "Bucket.retentionPolicy": schema(effect="effectiveTime retentionPeriod:int64", output="isLocked"),
    "Bucket.softDeletePolicy": schema(
        recorded="effectiveTime retentionDurationSeconds:int64", missing="hardDeletePause"
    ),
    "Bucket.versioning": schema(effect="enabled"),
    "ComposeRequest": schema(
        effect="deleteSourceObjects destination:Object sourceObjects:ComposeRequest.sourceObjects",
        output="kind",
    ),
    "ComposeRequest.sourceObjects": schema(
        effect="generation:int64 name objectPreconditions:ComposeRequest.sourceObjects.objectPreconditions",
    ),
    "ComposeRequest.sourceObjects.objectPreconditions": schema(effect="ifGenerationMatch:int64"),
    "Object": schema(
        effect="""cacheControl contentDisposition contentEncoding contentLanguage contentType crc32c eventBasedHold
            kmsKeyName md5Hash metadata name retention:Object.retention storageClass temporaryHold""",
        recorded="customTime",
        missing="acl contexts",
        output="""bucket componentCount customerEncryption etag generation hardDeleteTime id kind mediaLink
            metageneration owner restoreToken retentionExpirationTime selfLink size softDeleteTime timeCreated
            timeDeleted timeFinalized timeStorageClassUpdated updated""",
    ),
    "Object.retention": schema(effect="mode retainUntilTime"),
}


def _missing(what: str) -> ApiError:
    return ApiError(501, f"This local stand-in does not support {what}.")


# Like the service, it ignores fields that the API does not have.
checked = Checker(SCHEMAS, unknown=None, missing=_missing).checked
