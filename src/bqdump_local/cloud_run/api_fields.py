"""The fields of Cloud Run's requests. A test compares them with Google's API description.

https://run.googleapis.com/$discovery/rest?version=v2
"""

from __future__ import annotations

from collections.abc import Iterable

from bqdump_local.cloud_run.errors import CloudRunError, invalid
from bqdump_local.fields import Checker, check_parameters, schema

V2 = "GoogleCloudRunV2"
SCHEMAS = {
    f"{V2}CancelExecutionRequest": schema(missing="etag validateOnly"),
    f"{V2}Container": schema(
        effect=f"args env:{V2}EnvVar",
        recorded="command image name resources",
        missing="""baseImageUri buildConfig dependsOn livenessProbe ports readinessProbe sandboxLauncher sourceCode
            startupProbe volumeMounts workingDir""",
        output="buildInfo",
    ),
    f"{V2}ContainerOverride": schema(effect=f"args clearArgs env:{V2}EnvVar", recorded="name"),
    f"{V2}EnvVar": schema(effect="name value", missing="valueSource"),
    f"{V2}ExecutionTemplate": schema(
        effect=f"parallelism taskCount template:{V2}TaskTemplate",
        recorded="annotations client clientVersion labels",
        missing="delayExecution",
    ),
    f"{V2}Job": schema(
        effect=f"template:{V2}ExecutionTemplate",
        recorded="annotations binaryAuthorization client clientVersion functionalType labels launchStage",
        missing="etag runExecutionToken startExecutionToken",
        output="""conditions createTime creator deleteTime executionCount expireTime generation lastModifier
            latestCreatedExecution name observedGeneration reconciling satisfiesPzs terminalCondition uid updateTime""",
    ),
    f"{V2}Overrides": schema(
        effect=f"containerOverrides:{V2}ContainerOverride taskCount timeout", missing="delayExecution"
    ),
    f"{V2}RunJobRequest": schema(effect=f"overrides:{V2}Overrides validateOnly", missing="etag"),
    f"{V2}TaskTemplate": schema(
        effect=f"containers:{V2}Container maxRetries timeout",
        recorded="""encryptionKey executionEnvironment gpuZonalRedundancyDisabled nodeSelector serviceAccount vpcAccess
            workloadIdentityConfig""",
        missing="sandboxes volumes",
    ),
    "GoogleLongrunningWaitOperationRequest": schema(effect="timeout"),
}
# The parameters of requests, by method. Those of every method are at `run`.
PARAMETERS = {
    "run": schema(
        recorded="$.xgafv access_token key oauth_token prettyPrint quotaUser uploadType",
        missing="alt:json callback fields upload_protocol",
    ),
    "run.jobs.create": schema(effect="jobId", missing="validateOnly"),
    "run.jobs.delete": schema(missing="etag validateOnly"),
    "run.jobs.list": schema(effect="pageSize pageToken", missing="showDeleted"),
    "run.jobs.patch": schema(effect="allowMissing", missing="validateOnly"),
    "run.executions.list": schema(effect="pageSize pageToken", missing="showDeleted"),
    "run.operations.list": schema(effect="pageSize pageToken", recorded="returnPartialSuccess", missing="filter"),
}


def _unknown(name: str, where: str) -> CloudRunError:
    return invalid(f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field.")


def _missing(what: str) -> CloudRunError:
    return CloudRunError(501, f"This local stand-in does not support {what}.")


checked = Checker(SCHEMAS, unknown=_unknown, missing=_missing).checked


def check_query(method: str, parameters: Iterable[tuple[str, str]]) -> None:
    """Refuse parameters of a query that are missing here. method: such as `run.jobs.list`."""
    check_parameters(PARAMETERS, method, parameters, _missing)
