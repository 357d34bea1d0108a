"""The fields of Cloud Storage's requests. A test compares them with Google's API description.

https://storage.googleapis.com/$discovery/rest?version=v1
"""

from __future__ import annotations

from bqdump_local.fields import Checker, schema
from bqdump_local.storage.errors import ApiError

KINDS_OF_ENCRYPTION = ("customerManaged", "customerSupplied", "googleManaged")
ENFORCEMENTS = [f"{kind}EncryptionEnforcementConfig" for kind in KINDS_OF_ENCRYPTION]
SCHEMAS = {
    "Bucket": schema(
        effect="""autoclass:Bucket.autoclass customPlacementConfig:Bucket.customPlacementConfig defaultEventBasedHold
            encryption:Bucket.encryption labels location name retentionPolicy:Bucket.retentionPolicy
            softDeletePolicy:Bucket.softDeletePolicy storageClass versioning:Bucket.versioning""",
        recorded="""billing cors iamConfiguration lifecycle logging rpo website""",
        missing="acl defaultObjectAcl hierarchicalNamespace ipFilter",
        output="""etag generation hardDeleteTime id kind locationType metageneration objectRetention owner projectNumber
            satisfiesPZI satisfiesPZS selfLink softDeleteTime timeCreated updated""",
    ),
    "Bucket.autoclass": schema(
        effect="enabled", recorded="terminalStorageClass", output="terminalStorageClassUpdateTime toggleTime"
    ),
    "Bucket.customPlacementConfig": schema(effect="dataLocations"),
    "Bucket.encryption": schema(
        effect=" ".join(["defaultKmsKeyName", *(f"{name}:Bucket.encryption.{name}" for name in ENFORCEMENTS)])
    ),
    **{f"Bucket.encryption.{name}": schema(effect="restrictionMode", output="effectiveTime") for name in ENFORCEMENTS},
    "Bucket.retentionPolicy": schema(effect="effectiveTime retentionPeriod:int64", output="isLocked"),
    "Bucket.softDeletePolicy": schema(
        effect="retentionDurationSeconds:int64", missing="hardDeletePause", output="effectiveTime"
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
        effect="""cacheControl contentDisposition contentEncoding contentLanguage contentType contexts:Object.contexts
            crc32c eventBasedHold kmsKeyName md5Hash metadata name retention:Object.retention storageClass
            temporaryHold""",
        recorded="customTime",
        missing="acl",
        output="""bucket componentCount customerEncryption etag generation hardDeleteTime id kind mediaLink
            metageneration owner restoreToken retentionExpirationTime selfLink size softDeleteTime timeCreated
            timeDeleted timeFinalized timeStorageClassUpdated updated""",
    ),
    "Object.contexts": schema(effect="custom:*ObjectCustomContextPayload"),
    "Object.retention": schema(effect="mode retainUntilTime"),
    "ObjectCustomContextPayload": schema(effect="value", missing="extendedDataTypeUrl", output="createTime updateTime"),
}


def _missing(what: str) -> ApiError:
    return ApiError(501, f"This local stand-in does not support {what}.")


# Like the service, it ignores fields that the API does not have.
checked = Checker(SCHEMAS, unknown=None, missing=_missing).checked
