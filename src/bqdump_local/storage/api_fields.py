"""The fields of Cloud Storage's requests. A test compares them with Google's API description.

https://storage.googleapis.com/$discovery/rest?version=v1
"""

from __future__ import annotations

from typing import Any

from bqdump_local.fields import Checker, check_parameters, schema
from bqdump_local.storage.errors import ApiError, invalid

KINDS_OF_ENCRYPTION = ("customerManaged", "customerSupplied", "googleManaged")
ENFORCEMENTS = [f"{kind}EncryptionEnforcementConfig" for kind in KINDS_OF_ENCRYPTION]
SCHEMAS = {
    "Bucket": schema(
        effect="""autoclass:Bucket.autoclass customPlacementConfig:Bucket.customPlacementConfig
            defaultEventBasedHold:bool encryption:Bucket.encryption labels:map location name
            retentionPolicy:Bucket.retentionPolicy
            softDeletePolicy:Bucket.softDeletePolicy storageClass versioning:Bucket.versioning""",
        recorded="""billing:any cors:any iamConfiguration:any lifecycle:any logging:any rpo website:any""",
        missing="acl defaultObjectAcl hierarchicalNamespace ipFilter",
        output="""etag generation hardDeleteTime id kind locationType metageneration objectRetention owner projectNumber
            satisfiesPZI satisfiesPZS selfLink softDeleteTime timeCreated updated""",
    ),
    "Bucket.autoclass": schema(
        effect="enabled:bool", recorded="terminalStorageClass", output="terminalStorageClassUpdateTime toggleTime"
    ),
    "Bucket.customPlacementConfig": schema(effect="dataLocations:list"),
    "Bucket.encryption": schema(
        effect=" ".join(["defaultKmsKeyName", *(f"{name}:Bucket.encryption.{name}" for name in ENFORCEMENTS)])
    ),
    **{f"Bucket.encryption.{name}": schema(effect="restrictionMode", output="effectiveTime") for name in ENFORCEMENTS},
    "Bucket.retentionPolicy": schema(effect="effectiveTime retentionPeriod:int64", output="isLocked"),
    "Bucket.softDeletePolicy": schema(
        effect="retentionDurationSeconds:int64", missing="hardDeletePause", output="effectiveTime"
    ),
    "Bucket.versioning": schema(effect="enabled:bool"),
    "ComposeRequest": schema(
        effect="deleteSourceObjects:bool destination:Object sourceObjects:ComposeRequest.sourceObjects[]",
        output="kind",
    ),
    "ComposeRequest.sourceObjects": schema(
        effect="generation:int64 name objectPreconditions:ComposeRequest.sourceObjects.objectPreconditions",
    ),
    "ComposeRequest.sourceObjects.objectPreconditions": schema(effect="ifGenerationMatch:int64"),
    "Object": schema(
        effect="""cacheControl contentDisposition contentEncoding contentLanguage contentType contexts:Object.contexts
            crc32c eventBasedHold:bool kmsKeyName md5Hash metadata:map name retention:Object.retention storageClass
            temporaryHold:bool""",
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

_HERE = "ifGenerationMatch ifGenerationNotMatch ifMetagenerationMatch ifMetagenerationNotMatch"
_SOURCE = _HERE.replace("if", "ifSource")
_BUCKET = "ifMetagenerationMatch ifMetagenerationNotMatch"
_NEW_BUCKET = "predefinedAcl predefinedDefaultObjectAcl"
# The parameters of requests, by method. Those of every method are at `storage`.
PARAMETERS = {
    "storage": schema(
        effect="alt fields uploadType",
        recorded="key oauth_token prettyPrint projection quotaUser userIp userProject",
    ),
    "storage.buckets.delete": schema(effect=_BUCKET),
    "storage.buckets.get": schema(effect=f"generation {_BUCKET} softDeleted"),
    "storage.buckets.insert": schema(effect="enableObjectRetention", recorded="project", missing=_NEW_BUCKET),
    "storage.buckets.list": schema(
        effect="maxResults pageToken prefix softDeleted", recorded="project returnPartialSuccess"
    ),
    "storage.buckets.lockRetentionPolicy": schema(effect="ifMetagenerationMatch"),
    "storage.buckets.patch": schema(effect=_BUCKET, missing=_NEW_BUCKET),
    "storage.buckets.restore": schema(effect="generation"),
    "storage.buckets.testIamPermissions": schema(effect="permissions"),
    "storage.buckets.update": schema(effect=_BUCKET, missing=_NEW_BUCKET),
    "storage.objects.compose": schema(
        effect="ifGenerationMatch ifMetagenerationMatch kmsKeyName",
        recorded="dropContextGroups",
        missing="destinationPredefinedAcl",
    ),
    "storage.objects.copy": schema(
        effect=f"destinationKmsKeyName {_HERE} {_SOURCE} sourceGeneration", missing="destinationPredefinedAcl"
    ),
    "storage.objects.delete": schema(effect=f"generation {_HERE}"),
    "storage.objects.get": schema(effect=f"generation {_HERE} softDeleted", missing="restoreToken"),
    "storage.objects.insert": schema(effect=f"contentEncoding {_HERE} kmsKeyName name", missing="predefinedAcl"),
    "storage.objects.list": schema(
        effect="""delimiter endOffset filter includeTrailingDelimiter matchGlob maxResults pageToken prefix softDeleted
            startOffset versions""",
        recorded="includeFoldersAsPrefixes",
    ),
    "storage.objects.move": schema(effect=f"{_HERE} {_SOURCE}"),
    "storage.objects.patch": schema(effect=f"generation {_HERE} overrideUnlockedRetention", missing="predefinedAcl"),
    "storage.objects.restore": schema(effect=f"generation {_HERE}", missing="copySourceAcl restoreToken"),
    "storage.objects.rewrite": schema(
        effect=f"""destinationKmsKeyName dropContextGroups {_HERE} {_SOURCE} maxBytesRewrittenPerCall rewriteToken
            sourceGeneration""",
        missing="destinationPredefinedAcl",
    ),
    "storage.objects.update": schema(effect=f"generation {_HERE} overrideUnlockedRetention", missing="predefinedAcl"),
}


def _missing(what: str) -> ApiError:
    return ApiError(501, f"This local stand-in does not support {what}.")


def _wrong(where: str, value: Any) -> ApiError:
    return invalid(
        f"Invalid value for {where}: {value if isinstance(value, (str, int, float)) else 'a list or an object'}"
    )


# Like the service, it ignores fields that the API does not have.
checked = Checker(SCHEMAS, unknown=None, missing=_missing, wrong=_wrong).checked


def check_query(method: str, parameters: list[tuple[str, str]]) -> None:
    """Refuse parameters of a query that are missing here. method: such as `storage.objects.list`."""
    check_parameters(PARAMETERS, method, parameters, _missing)
