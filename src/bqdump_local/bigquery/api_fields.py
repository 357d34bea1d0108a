"""The fields of BigQuery's requests. A test compares them with Google's API description.

https://bigquery.googleapis.com/discovery/v1/apis/bigquery/v2/rest
"""

from __future__ import annotations

from bqdump_local.fields import schema

SCHEMAS = {
    "Argument": schema(
        effect="argumentKind dataType:StandardSqlDataType mode name",
        recorded="isAggregate:bool tableType:any",
    ),
    "AvroOptions": schema(
        effect="useAvroLogicalTypes:bool",
    ),
    "Clustering": schema(
        effect="fields:list",
    ),
    "ConnectionProperty": schema(effect="key value"),
    "CsvOptions": schema(
        effect="""allowJaggedRows:bool allowQuotedNewlines:bool fieldDelimiter nullMarker
            preserveAsciiControlCharacters:bool quote
            skipLeadingRows:int64""",
        missing="encoding nullMarkers sourceColumnMatch",
    ),
    "Dataset": schema(
        effect="""datasetReference:DatasetReference defaultPartitionExpirationMs:int64 defaultTableExpirationMs:int64
            description friendlyName isCaseInsensitive:bool labels:map location resourceTags:map""",
        recorded="""access:any defaultCollation defaultEncryptionConfiguration:EncryptionConfiguration
            defaultRoundingMode externalCatalogDatasetOptions:any externalDatasetReference:any linkedDatasetSource:any
            maxTimeTravelHours:int64 storageBillingModel""",
        output="""catalogSource creationTime etag id kind lastModifiedTime linkedDatasetMetadata restrictions
            satisfiesPzi satisfiesPzs selfLink tags type""",
    ),
    "DatasetReference": schema(
        effect="datasetId projectId",
    ),
    "DestinationTableProperties": schema(
        effect="description expirationTime friendlyName labels:map",
    ),
    "EncryptionConfiguration": schema(
        effect="kmsKeyName",
    ),
    "ExternalDataConfiguration": schema(
        effect="""autodetect:bool avroOptions:AvroOptions csvOptions:CsvOptions decimalTargetTypes:list
            parquetOptions:ParquetOptions referenceFileSchemaUri schema:TableSchema sourceFormat sourceUris:list""",
        recorded="compression connectionId ignoreUnknownValues:bool metadataCacheMode",
        missing="""bigtableOptions dateFormat datetimeFormat fileSetSpecType googleSheetsOptions
            hivePartitioningOptions jsonExtension jsonOptions maxBadRecords objectMetadata timeFormat timeZone
            timestampFormat timestampTargetPrecision""",
    ),
    "Job": schema(
        effect="configuration:JobConfiguration jobReference:JobReference",
        output="etag id jobCreationReason kind principal_subject selfLink statistics status user_email",
    ),
    "JobConfiguration": schema(
        effect="""copy:JobConfigurationTableCopy dryRun:bool extract:JobConfigurationExtract jobTimeoutMs:int64
            labels:map
            load:JobConfigurationLoad query:JobConfigurationQuery""",
        recorded="maxSlots:int32 reservation",
        output="jobType",
    ),
    "JobConfigurationExtract": schema(
        effect="""compression destinationFormat destinationUri destinationUris:list fieldDelimiter printHeader:bool
            sourceTable:TableReference useAvroLogicalTypes:bool""",
        missing="modelExtractOptions nativeGeographyExportEnabled secureContext sourceModel",
    ),
    "JobConfigurationLoad": schema(
        effect="""allowJaggedRows:bool allowQuotedNewlines:bool autodetect:bool clustering:Clustering createDisposition
            decimalTargetTypes:list destinationTable:TableReference
            destinationTableProperties:DestinationTableProperties fieldDelimiter nullMarker
            parquetOptions:ParquetOptions preserveAsciiControlCharacters:bool quote
            rangePartitioning:RangePartitioning referenceFileSchemaUri schema:TableSchema schemaUpdateOptions:list
            skipLeadingRows:int32 sourceFormat sourceUris:list timePartitioning:TimePartitioning
            useAvroLogicalTypes:bool
            writeDisposition""",
        recorded="destinationEncryptionConfiguration:EncryptionConfiguration ignoreUnknownValues:bool",
        missing="""columnNameCharacterMap connectionProperties copyFilesOnly createSession dateFormat datetimeFormat
            encoding fileSetSpecType hivePartitioningOptions jsonExtension maxBadRecords nullMarkers
            projectionFields schemaInline schemaInlineFormat sourceColumnMatch timeFormat timeZone
            timestampFormat timestampTargetPrecision""",
    ),
    "JobConfigurationQuery": schema(
        effect="""clustering:Clustering connectionProperties:ConnectionProperty[] createDisposition
            defaultDataset:DatasetReference destinationTable:TableReference maximumBytesBilled:int64 query
            queryParameters:QueryParameter[] rangePartitioning:RangePartitioning schemaUpdateOptions:list
            timePartitioning:TimePartitioning writeDisposition""",
        recorded="""allowLargeResults:bool destinationEncryptionConfiguration:EncryptionConfiguration
            flattenResults:bool
            maximumBillingTier:int32 parameterMode priority useQueryCache:bool""",
        missing="""continuous createSession preserveNulls scriptOptions secureContext
            tableDefinitions useLegacySql userDefinedFunctionResources writeIncrementalResults""",
        output="systemVariables",
    ),
    "JobConfigurationTableCopy": schema(
        effect="""createDisposition destinationExpirationTime destinationTable:TableReference operationType
            sourceTable:TableReference sourceTables:TableReference[] writeDisposition""",
        recorded="destinationEncryptionConfiguration:EncryptionConfiguration",
    ),
    "JobReference": schema(
        effect="jobId location projectId",
    ),
    "MaterializedViewDefinition": schema(
        effect="query",
        recorded="allowNonIncrementalDefinition:bool enableRefresh:bool maxStaleness refreshIntervalMs:int64",
        output="lastRefreshTime",
    ),
    "ParquetOptions": schema(
        effect="enableListInference:bool",
        recorded="enumAsString:bool",
        missing="mapTargetType",
    ),
    "QueryParameter": schema(
        effect="name parameterType:QueryParameterType parameterValue:QueryParameterValue",
    ),
    "QueryParameterType": schema(
        effect="""arrayType:QueryParameterType rangeElementType:QueryParameterType
            structTypes:QueryParameterType.structTypes[] type""",
        missing="timestampPrecision",
    ),
    "QueryParameterType.structTypes": schema(
        effect="description name type:QueryParameterType",
    ),
    "QueryParameterValue": schema(
        effect="arrayValues:QueryParameterValue[] rangeValue:RangeValue structValues:*QueryParameterValue value:text",
    ),
    "ArrowSerializationOptions": schema(effect="bufferCompression picosTimestampPrecision"),
    "QueryRequest": schema(
        effect="""arrowSerializationOptions:ArrowSerializationOptions connectionProperties:ConnectionProperty[]
            defaultDataset:DatasetReference dryRun:bool jobTimeoutMs:int64
            labels:map location maxResults:int32 maximumBytesBilled:int64 query queryParameters:QueryParameter[]
            queryResultsFormat requestId
            timeoutMs:int32""",
        recorded="""destinationEncryptionConfiguration:EncryptionConfiguration formatOptions:any jobCreationMode
            maxSlots:int32
            parameterMode reservation useQueryCache:bool""",
        missing="""continuous createSession preserveNulls
            secureContext useLegacySql writeIncrementalResults""",
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
        effect="""arguments:Argument[] definitionBody description language returnTableType:StandardSqlTableType
            returnType:StandardSqlDataType routineReference:RoutineReference routineType""",
        recorded="""dataGovernanceType determinismLevel externalRuntimeOptions:any importedLibraries:list
            pythonOptions:any
            remoteFunctionOptions:any securityMode sparkOptions:any strictMode:bool""",
        output="buildStatus creationTime etag lastModifiedTime",
    ),
    "RoutineReference": schema(
        effect="datasetId projectId routineId",
    ),
    "RowAccessPolicy": schema(
        effect="filterPredicate grantees:list rowAccessPolicyReference:RowAccessPolicyReference",
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
        effect="fields:StandardSqlField[]",
    ),
    "StandardSqlTableType": schema(
        effect="columns:StandardSqlField[]",
    ),
    "Table": schema(
        effect="""clustering:Clustering description expirationTime:int64
            externalDataConfiguration:ExternalDataConfiguration friendlyName labels:map
            materializedView:MaterializedViewDefinition rangePartitioning:RangePartitioning
            requirePartitionFilter:bool resourceTags:map schema:TableSchema tableConstraints:TableConstraints
            tableReference:TableReference timePartitioning:TimePartitioning view:ViewDefinition""",
        recorded="""biglakeConfiguration:any defaultCollation defaultRoundingMode
            encryptionConfiguration:EncryptionConfiguration externalCatalogTableOptions:any managedTableType
            maxStaleness""",
        missing="model partitionDefinition tableReplicationInfo",
        output="""cloneDefinition creationTime etag id kind lastModifiedTime location materializedViewStatus
            numActiveLogicalBytes numActivePhysicalBytes numBytes numCurrentPhysicalBytes numLongTermBytes
            numLongTermLogicalBytes numLongTermPhysicalBytes numPartitions numPhysicalBytes numRows
            numTimeTravelPhysicalBytes numTotalLogicalBytes numTotalPhysicalBytes replicas restrictions selfLink
            snapshotDefinition streamingBuffer type""",
    ),
    "TableConstraints": schema(
        effect="foreignKeys:TableConstraints.foreignKeys[] primaryKey:TableConstraints.primaryKey",
    ),
    "TableConstraints.foreignKeys": schema(
        effect="""columnReferences:TableConstraints.foreignKeys.columnReferences[] name
            referencedTable:TableConstraints.foreignKeys.referencedTable""",
    ),
    "TableConstraints.foreignKeys.columnReferences": schema(
        effect="referencedColumn referencingColumn",
    ),
    "TableConstraints.foreignKeys.referencedTable": schema(
        effect="datasetId projectId tableId",
    ),
    "TableConstraints.primaryKey": schema(
        effect="columns:list",
    ),
    "TableDataInsertAllRequest": schema(
        effect="ignoreUnknownValues:bool rows:TableDataInsertAllRequest.rows[] skipInvalidRows:bool",
        recorded="traceId",
        missing="templateSuffix",
        output="kind",
    ),
    "TableDataInsertAllRequest.rows": schema(
        effect="insertId:text json:any",
    ),
    "TableFieldSchema": schema(
        effect="""defaultValueExpression description fields:TableFieldSchema[] maxLength:int64 mode name precision:int64
            rangeElementType:TableFieldSchema.rangeElementType scale:int64 type""",
        recorded="""collation dataPolicies:any dataPolicyList:any foreignTypeDefinition generatedColumn:any
            policyTags:TableFieldSchema.policyTags roundingMode timestampPrecision:int64""",
        missing="categories dataGovernanceTagsInfo",
    ),
    "TableFieldSchema.policyTags": schema(
        effect="names:list",
    ),
    "TableFieldSchema.rangeElementType": schema(
        effect="type",
    ),
    "TableReference": schema(
        effect="datasetId projectId tableId",
    ),
    "TableSchema": schema(
        effect="fields:TableFieldSchema[]",
        missing="foreignTypeInfo",
    ),
    "TimePartitioning": schema(
        effect="expirationMs:int64 field requirePartitionFilter:bool type",
    ),
    "ViewDefinition": schema(
        effect="query",
        recorded="useExplicitColumnNames:bool useLegacySql:bool",
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
