"""The fields that the body of a request can have. Other fields are refused, as in BigQuery.

The names are those of Google's API description: https://bigquery.googleapis.com/discovery/v1/apis/bigquery/v2/rest
"""

from __future__ import annotations

import re
from typing import Any

from bqdump_local.bigquery.errors import BigQueryError

# Parts of a body that are checked, too, by the name of the field.
NESTED = {
    "schema": "TableSchema",
    "fields": "TableFieldSchema",
    "timePartitioning": "TimePartitioning",
    "rangePartitioning": "RangePartitioning",
    "clustering": "Clustering",
    "view": "ViewDefinition",
    "materializedView": "MaterializedViewDefinition",
    "encryptionConfiguration": "EncryptionConfiguration",
    "defaultEncryptionConfiguration": "EncryptionConfiguration",
    "destinationEncryptionConfiguration": "EncryptionConfiguration",
    "tableConstraints": "TableConstraints",
}
COMMON = "creationTime etag id kind labels lastModifiedTime location selfLink type"
FIELDS = {
    "Table": frozenset(
        f"""{COMMON} biglakeConfiguration cloneDefinition clustering defaultCollation defaultRoundingMode description
        encryptionConfiguration expirationTime externalCatalogTableOptions externalDataConfiguration friendlyName
        managedTableType materializedView materializedViewStatus maxStaleness model numActiveLogicalBytes
        numActivePhysicalBytes numBytes numCurrentPhysicalBytes numLongTermBytes numLongTermLogicalBytes
        numLongTermPhysicalBytes numPartitions numPhysicalBytes numRows numTimeTravelPhysicalBytes numTotalLogicalBytes
        numTotalPhysicalBytes partitionDefinition rangePartitioning replicas requirePartitionFilter resourceTags
        restrictions schema snapshotDefinition streamingBuffer tableConstraints tableReference tableReplicationInfo
        timePartitioning view""".split()
    ),
    "Dataset": frozenset(
        f"""{COMMON} access catalogSource datasetReference defaultCollation defaultEncryptionConfiguration
        defaultPartitionExpirationMs defaultRoundingMode defaultTableExpirationMs description
        externalCatalogDatasetOptions externalDatasetReference friendlyName isCaseInsensitive linkedDatasetMetadata
        linkedDatasetSource maxTimeTravelHours resourceTags restrictions satisfiesPzi satisfiesPzs storageBillingModel
        tags""".split()
    ),
    "TableSchema": frozenset(["fields", "foreignTypeInfo"]),
    "TableFieldSchema": frozenset(
        [
            "categories",
            "collation",
            "dataGovernanceTagsInfo",
            "dataPolicies",
            "dataPolicyList",
            "defaultValueExpression",
            "description",
            "fields",
            "foreignTypeDefinition",
            "generatedColumn",
            "maxLength",
            "mode",
            "name",
            "policyTags",
            "precision",
            "rangeElementType",
            "roundingMode",
            "scale",
            "timestampPrecision",
            "type",
        ]
    ),
    "TimePartitioning": frozenset(["expirationMs", "field", "requirePartitionFilter", "type"]),
    "RangePartitioning": frozenset(["field", "range"]),
    "Clustering": frozenset(["fields"]),
    "ViewDefinition": frozenset(
        [
            "foreignDefinitions",
            "privacyPolicy",
            "query",
            "useExplicitColumnNames",
            "useLegacySql",
            "userDefinedFunctionResources",
        ]
    ),
    "MaterializedViewDefinition": frozenset(
        [
            "allowNonIncrementalDefinition",
            "enableRefresh",
            "lastRefreshTime",
            "maxStaleness",
            "query",
            "refreshIntervalMs",
        ]
    ),
    "EncryptionConfiguration": frozenset(["kmsKeyName"]),
    "TableConstraints": frozenset(["foreignKeys", "primaryKey"]),
    "JobConfigurationLoad": frozenset(
        [
            "allowJaggedRows",
            "allowQuotedNewlines",
            "autodetect",
            "clustering",
            "columnNameCharacterMap",
            "connectionProperties",
            "copyFilesOnly",
            "createDisposition",
            "createSession",
            "dateFormat",
            "datetimeFormat",
            "decimalTargetTypes",
            "destinationEncryptionConfiguration",
            "destinationTable",
            "destinationTableProperties",
            "encoding",
            "fieldDelimiter",
            "fileSetSpecType",
            "hivePartitioningOptions",
            "ignoreUnknownValues",
            "jsonExtension",
            "maxBadRecords",
            "nullMarker",
            "nullMarkers",
            "parquetOptions",
            "preserveAsciiControlCharacters",
            "projectionFields",
            "quote",
            "rangePartitioning",
            "referenceFileSchemaUri",
            "schema",
            "schemaInline",
            "schemaInlineFormat",
            "schemaUpdateOptions",
            "skipLeadingRows",
            "sourceColumnMatch",
            "sourceFormat",
            "sourceUris",
            "timeFormat",
            "timePartitioning",
            "timeZone",
            "timestampFormat",
            "timestampTargetPrecision",
            "useAvroLogicalTypes",
            "writeDisposition",
        ]
    ),
    "JobConfigurationTableCopy": frozenset(
        [
            "createDisposition",
            "destinationEncryptionConfiguration",
            "destinationExpirationTime",
            "destinationTable",
            "operationType",
            "sourceTable",
            "sourceTables",
            "writeDisposition",
        ]
    ),
}


def refuse_unknown(schema: str, value: Any, where: str) -> None:
    """Refuse a body with a field that the API does not have. where: such as `table`, for the message."""
    if not isinstance(value, dict):
        return
    for name, inner in value.items():
        if name not in FIELDS[schema]:
            message = f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
            raise BigQueryError("badRequest", message)
        if (nested := NESTED.get(name)) and not (schema == "Clustering" and name == "fields"):
            for number, item in enumerate(inner if isinstance(inner, list) else [inner]):
                index = f"[{number}]" if isinstance(inner, list) else ""
                refuse_unknown(nested, item, f"{where}.{_snake(name)}{index}")


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)
