"""The fields of BigQuery's requests. A test compares them with Google's API description.

https://bigquery.googleapis.com/discovery/v1/apis/bigquery/v2/rest
"""

from __future__ import annotations

from bqdump_local.fields import schema

SCHEMAS = {
    "Argument": schema(
        effect="argumentKind dataType:StandardSqlDataType mode name",
        recorded="isAggregate tableType",
    ),
    "AvroOptions": schema(
        effect="useAvroLogicalTypes",
    ),
    "Clustering": schema(
        effect="fields",
    ),
    "ConnectionProperty": schema(effect="key value"),
    "CsvOptions": schema(
        effect="""allowJaggedRows allowQuotedNewlines fieldDelimiter nullMarker preserveAsciiControlCharacters quote
            skipLeadingRows:int64""",
        missing="encoding nullMarkers sourceColumnMatch",
    ),
    "Dataset": schema(
        effect="""datasetReference:DatasetReference defaultPartitionExpirationMs:int64 defaultTableExpirationMs:int64
            description friendlyName isCaseInsensitive labels location resourceTags""",
        recorded="""access defaultCollation defaultEncryptionConfiguration:EncryptionConfiguration
            defaultRoundingMode externalCatalogDatasetOptions externalDatasetReference linkedDatasetSource
            maxTimeTravelHours:int64 storageBillingModel""",
        output="""catalogSource creationTime etag id kind lastModifiedTime linkedDatasetMetadata restrictions
            satisfiesPzi satisfiesPzs selfLink tags type""",
    ),
    "DatasetReference": schema(
        effect="datasetId projectId",
    ),
    "DestinationTableProperties": schema(
        effect="description expirationTime friendlyName labels",
    ),
    "EncryptionConfiguration": schema(
        effect="kmsKeyName",
    ),
    "ExternalDataConfiguration": schema(
        effect="""autodetect avroOptions:AvroOptions csvOptions:CsvOptions decimalTargetTypes
            parquetOptions:ParquetOptions referenceFileSchemaUri schema:TableSchema sourceFormat sourceUris""",
        recorded="compression connectionId ignoreUnknownValues metadataCacheMode",
        missing="""bigtableOptions dateFormat datetimeFormat fileSetSpecType googleSheetsOptions
            hivePartitioningOptions jsonExtension jsonOptions maxBadRecords objectMetadata timeFormat timeZone
            timestampFormat timestampTargetPrecision""",
    ),
    "Job": schema(
        effect="configuration:JobConfiguration jobReference:JobReference",
        output="etag id jobCreationReason kind principal_subject selfLink statistics status user_email",
    ),
    "JobConfiguration": schema(
        effect="""copy:JobConfigurationTableCopy dryRun extract:JobConfigurationExtract jobTimeoutMs:int64 labels
            load:JobConfigurationLoad query:JobConfigurationQuery""",
        recorded="maxSlots reservation",
        output="jobType",
    ),
    "JobConfigurationExtract": schema(
        effect="""compression destinationFormat destinationUri destinationUris fieldDelimiter printHeader
            sourceTable:TableReference useAvroLogicalTypes""",
        missing="modelExtractOptions nativeGeographyExportEnabled secureContext sourceModel",
    ),
    "JobConfigurationLoad": schema(
        effect="""allowJaggedRows allowQuotedNewlines autodetect clustering:Clustering createDisposition
            decimalTargetTypes destinationTable:TableReference
            destinationTableProperties:DestinationTableProperties fieldDelimiter nullMarker
            parquetOptions:ParquetOptions preserveAsciiControlCharacters quote
            rangePartitioning:RangePartitioning referenceFileSchemaUri schema:TableSchema schemaUpdateOptions
            skipLeadingRows:int32 sourceFormat sourceUris timePartitioning:TimePartitioning useAvroLogicalTypes
            writeDisposition""",
        recorded="destinationEncryptionConfiguration:EncryptionConfiguration ignoreUnknownValues",
        missing="""columnNameCharacterMap connectionProperties copyFilesOnly createSession dateFormat datetimeFormat
            encoding fileSetSpecType hivePartitioningOptions jsonExtension maxBadRecords nullMarkers
            projectionFields schemaInline schemaInlineFormat sourceColumnMatch timeFormat timeZone
            timestampFormat timestampTargetPrecision""",
    ),
    "JobConfigurationQuery": schema(
        effect="""clustering:Clustering connectionProperties:ConnectionProperty createDisposition
            defaultDataset:DatasetReference destinationTable:TableReference maximumBytesBilled:int64 query
            queryParameters:QueryParameter rangePartitioning:RangePartitioning schemaUpdateOptions
            timePartitioning:TimePartitioning writeDisposition""",
        recorded="""allowLargeResults destinationEncryptionConfiguration:EncryptionConfiguration flattenResults
            maximumBillingTier parameterMode priority useQueryCache""",
        missing="""continuous createSession preserveNulls scriptOptions secureContext
            tableDefinitions useLegacySql userDefinedFunctionResources writeIncrementalResults""",
        output="systemVariables",
    ),
    "JobConfigurationTableCopy": schema(
        effect="""createDisposition destinationExpirationTime destinationTable:TableReference operationType
            sourceTable:TableReference sourceTables:TableReference writeDisposition""",
        recorded="destinationEncryptionConfiguration:EncryptionConfiguration",
    ),
    "JobReference": schema(
        effect="jobId location projectId",
    ),
    "MaterializedViewDefinition": schema(
        effect="query",
        recorded="allowNonIncrementalDefinition enableRefresh maxStaleness refreshIntervalMs:int64",
        output="lastRefreshTime",
    ),
    "ParquetOptions": schema(
        effect="enableListInference",
        recorded="enumAsString",
        missing="mapTargetType",
    ),
    "QueryParameter": schema(
        effect="name parameterType:QueryParameterType parameterValue:QueryParameterValue",
    ),
    "QueryParameterType": schema(
        effect="""arrayType:QueryParameterType rangeElementType:QueryParameterType
            structTypes:QueryParameterType.structTypes type""",
        missing="timestampPrecision",
    ),
    "QueryParameterType.structTypes": schema(
        effect="description name type:QueryParameterType",
    ),
    "QueryParameterValue": schema(
        effect="arrayValues:QueryParameterValue rangeValue:RangeValue structValues:*QueryParameterValue value:text",
    ),
    "QueryRequest": schema(
        effect="""connectionProperties:ConnectionProperty defaultDataset:DatasetReference dryRun jobTimeoutMs:int64
            labels location maxResults maximumBytesBilled:int64 query queryParameters:QueryParameter requestId
            timeoutMs""",
        recorded="""destinationEncryptionConfiguration:EncryptionConfiguration formatOptions jobCreationMode maxSlots
            parameterMode reservation useQueryCache""",
        missing="""arrowSerializationOptions continuous createSession preserveNulls
            queryResultsFormat secureContext useLegacySql writeIncrementalResults""",
        output="kind",
    ),
    "RangePartitioning": schema(
        effect="field range:RangePartitioning.range",
    ),
    "RangePartitioning.range": schema(
        effect="end:int64 interval:int64 start:int64",
    ),
    "RangeValue": schema(
        effect="end:QueryParameterValue start:QueryParameterValue",
    ),
    "Routine": schema(
        effect="""arguments:Argument definitionBody description language returnTableType:StandardSqlTableType
            returnType:StandardSqlDataType routineReference:RoutineReference routineType""",
        recorded="""dataGovernanceType determinismLevel externalRuntimeOptions importedLibraries pythonOptions
            remoteFunctionOptions securityMode sparkOptions strictMode""",
        output="buildStatus creationTime etag lastModifiedTime",
    ),
    "RoutineReference": schema(
        effect="datasetId projectId routineId",
    ),
    "RowAccessPolicy": schema(
        effect="filterPredicate grantees rowAccessPolicyReference:RowAccessPolicyReference",
        output="creationTime etag lastModifiedTime",
    ),
    "RowAccessPolicyReference": schema(
        effect="datasetId policyId projectId tableId",
    ),
    "StandardSqlDataType": schema(
        effect="""arrayElementType:StandardSqlDataType rangeElementType:StandardSqlDataType
            structType:StandardSqlStructType typeKind""",
    ),
    "StandardSqlField": schema(
        effect="name type:StandardSqlDataType",
    ),
    "StandardSqlStructType": schema(
        effect="fields:StandardSqlField",
    ),
    "StandardSqlTableType": schema(
        effect="columns:StandardSqlField",
    ),
    "Table": schema(
        effect="""clustering:Clustering description expirationTime:int64
            externalDataConfiguration:ExternalDataConfiguration friendlyName labels
            materializedView:MaterializedViewDefinition rangePartitioning:RangePartitioning
            requirePartitionFilter resourceTags schema:TableSchema tableConstraints:TableConstraints
            tableReference:TableReference timePartitioning:TimePartitioning view:ViewDefinition""",
        recorded="""biglakeConfiguration defaultCollation defaultRoundingMode
            encryptionConfiguration:EncryptionConfiguration externalCatalogTableOptions managedTableType
            maxStaleness""",
        missing="model partitionDefinition tableReplicationInfo",
        output="""cloneDefinition creationTime etag id kind lastModifiedTime location materializedViewStatus
            numActiveLogicalBytes numActivePhysicalBytes numBytes numCurrentPhysicalBytes numLongTermBytes
            numLongTermLogicalBytes numLongTermPhysicalBytes numPartitions numPhysicalBytes numRows
            numTimeTravelPhysicalBytes numTotalLogicalBytes numTotalPhysicalBytes replicas restrictions selfLink
            snapshotDefinition streamingBuffer type""",
    ),
    "TableConstraints": schema(
        effect="foreignKeys:TableConstraints.foreignKeys primaryKey:TableConstraints.primaryKey",
    ),
    "TableConstraints.foreignKeys": schema(
        effect="""columnReferences:TableConstraints.foreignKeys.columnReferences name
            referencedTable:TableConstraints.foreignKeys.referencedTable""",
    ),
    "TableConstraints.foreignKeys.columnReferences": schema(
        effect="referencedColumn referencingColumn",
    ),
    "TableConstraints.foreignKeys.referencedTable": schema(
        effect="datasetId projectId tableId",
    ),
    "TableConstraints.primaryKey": schema(
        effect="columns",
    ),
    "TableDataInsertAllRequest": schema(
        effect="ignoreUnknownValues rows:TableDataInsertAllRequest.rows skipInvalidRows",
        recorded="traceId",
        missing="templateSuffix",
        output="kind",
    ),
    "TableDataInsertAllRequest.rows": schema(
        effect="insertId json",
    ),
    "TableFieldSchema": schema(
        effect="""defaultValueExpression description fields:TableFieldSchema maxLength:int64 mode name precision:int64
            rangeElementType:TableFieldSchema.rangeElementType scale:int64 type""",
        recorded="""collation dataPolicies dataPolicyList foreignTypeDefinition generatedColumn
            policyTags:TableFieldSchema.policyTags roundingMode timestampPrecision:int64""",
        missing="categories dataGovernanceTagsInfo",
    ),
    "TableFieldSchema.policyTags": schema(
        effect="names",
    ),
    "TableFieldSchema.rangeElementType": schema(
        effect="type",
    ),
    "TableReference": schema(
        effect="datasetId projectId tableId",
    ),
    "TableSchema": schema(
        effect="fields:TableFieldSchema",
        missing="foreignTypeInfo",
    ),
    "TimePartitioning": schema(
        effect="expirationMs:int64 field requirePartitionFilter type",
    ),
    "ViewDefinition": schema(
        effect="query",
        recorded="useExplicitColumnNames useLegacySql",
        missing="foreignDefinitions privacyPolicy userDefinedFunctionResources",
    ),
}

# The parameters of requests, by method. Those of every method are at `bigquery`.
_PAGE = "maxResults pageToken"
PARAMETERS = {
    "bigquery": schema(
        effect="fields uploadType",
        recorded="$.xgafv access_token key oauth_token prettyPrint quotaUser",
        missing="alt:json callback upload_protocol:resumable|multipart",
    ),
    "bigquery.datasets.delete": schema(effect="deleteContents"),
    "bigquery.datasets.get": schema(effect="datasetView", recorded="accessPolicyVersion"),
    "bigquery.datasets.insert": schema(effect="accessPolicyVersion"),
    "bigquery.datasets.list": schema(effect=f"all filter {_PAGE}"),
    "bigquery.datasets.patch": schema(effect="accessPolicyVersion updateMode"),
    "bigquery.datasets.update": schema(effect="accessPolicyVersion updateMode"),
    "bigquery.jobs.cancel": schema(effect="location"),
    "bigquery.jobs.delete": schema(effect="location"),
    "bigquery.jobs.get": schema(effect="location"),
    "bigquery.jobs.getQueryResults": schema(
        effect=f"location {_PAGE} startIndex timeoutMs",
        recorded="formatOptions.useInt64Timestamp",
        missing="formatOptions.timestampOutputFormat:INT64|TIMESTAMP_OUTPUT_FORMAT_UNSPECIFIED",
    ),
    "bigquery.jobs.list": schema(
        effect=f"maxCreationTime {_PAGE} minCreationTime projection stateFilter",
        recorded="allUsers",
        missing="parentJobId",
    ),
    "bigquery.models.list": schema(effect=_PAGE),
    "bigquery.routines.get": schema(effect="readMask"),
    "bigquery.routines.list": schema(effect=f"filter {_PAGE} readMask"),
    "bigquery.rowAccessPolicies.delete": schema(recorded="force"),
    "bigquery.rowAccessPolicies.list": schema(effect="pageSize pageToken"),
    "bigquery.tabledata.list": schema(
        effect=f"{_PAGE} selectedFields startIndex",
        recorded="formatOptions.useInt64Timestamp",
        missing="formatOptions.timestampOutputFormat:INT64|TIMESTAMP_OUTPUT_FORMAT_UNSPECIFIED",
    ),
    "bigquery.tables.get": schema(effect="selectedFields view"),
    "bigquery.tables.list": schema(effect=_PAGE),
    "bigquery.tables.patch": schema(effect="autodetect_schema"),
    "bigquery.tables.update": schema(effect="autodetect_schema"),
}
