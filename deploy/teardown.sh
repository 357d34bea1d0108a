#!/bin/sh
# Removes what docs/deploy.md and `bqdump render` created, and nothing else.
#
#   PROJECT_ID=my-project SOURCE_DATASET=sales DESTINATION_BUCKET=my-exports REGION=europe-west1 deploy/teardown.sh
#
# It lists what it would remove, and asks first. It removes only what has the label app=bqdump or a name that only bqdump
# gives. The dummy tables of `bqdump local seed --cloud` are removed by their label, and their dataset if it was created with
# them and is otherwise empty. The bucket and its exports stay, unless --with-bucket is set.
#
#   --yes          do not ask
#   --with-bucket  also remove the bucket with every export in it, if docs/deploy.md created it
#   --name NAME    the --name passed to bqdump render (default: bqdump)
set -eu

name=bqdump yes='' with_bucket=''
while [ $# -gt 0 ]; do
  case $1 in
    --yes) yes=1 ;;
    --with-bucket) with_bucket=1 ;;
    --name) name=$2; shift ;;
    *) echo "teardown: unknown option $1" >&2; exit 2 ;;
  esac
  shift
done
: "${PROJECT_ID:?is not set}" "${SOURCE_DATASET:?is not set}" "${DESTINATION_BUCKET:?is not set}" "${REGION:?is not set}"
project=${BQDUMP_JOB_PROJECT:-$PROJECT_ID}
plan=$(mktemp)
trap 'rm -f "$plan"' EXIT

# marked WORD COMMAND…: true if the command's output begins with WORD. No output: the resource does not exist.
marked() {
  word=$1
  shift
  case $("$@" 2>/dev/null || true) in "$word"*) return 0 ;; *) return 1 ;; esac
}

# later COMMAND…: add a command to the list.
later() {
  printf '%s' "$1" >>"$plan"
  shift
  for argument; do
    printf " '%s'" "$(printf %s "$argument" | sed "s/'/'\\\\''/g")" >>"$plan"
  done
  printf '\n' >>"$plan"
}

at="--project=$project"
# Names of datasets, in lines. A pattern has its grants on the project.
datasets=$(printf '%s\n' "$SOURCE_DATASET" | tr ',' '\n' | tr -d ' \t' | sed '/^$/d')
case $SOURCE_DATASET in *[*?:]*) granted='' ;; *) granted=$datasets ;; esac
buckets=$DESTINATION_BUCKET

projects=$project
[ "$PROJECT_ID" = "$project" ] || projects="$project $PROJECT_ID"

# revoke ROLE MEMBER: take the role back on each dataset.
revoke() {
  for dataset in $granted; do
    later bq "--project_id=$project" query --use_legacy_sql=false \
      "REVOKE \`$1\` ON SCHEMA \`$PROJECT_ID\`.\`$dataset\` FROM \"$2\""
  done
}

# The jobs of all commands.
jobs="$name $name-drill $name-verify $name-copy $name-prune $name-restore"
for schedule in $(for job in $jobs; do printf '%s=jobs/%s:run ' "$job" "$job"; done) \
  "$name-workflow=workflows/$name/executions"; do
  id=${schedule%%=*} target=${schedule#*=}
  uri=$(gcloud scheduler jobs describe "$id" "$at" "--location=$REGION" '--format=value(httpTarget.uri)' 2>/dev/null || true)
  case $uri in
    */"$target") later gcloud scheduler jobs delete "$id" "$at" "--location=$REGION" --quiet ;;
  esac
done
if marked bqdump gcloud workflows describe "$name" "$at" "--location=$REGION" '--format=value(labels.app)'; then
  later gcloud workflows delete "$name" "$at" "--location=$REGION" --quiet
fi
for job in $jobs; do
  if marked bqdump gcloud run jobs describe "$job" "$at" "--region=$REGION" '--format=value(metadata.labels.app)'; then
    later gcloud run jobs delete "$job" "$at" "--region=$REGION" --quiet
  fi
done
for policy in $(gcloud monitoring policies list "$at" "--filter=userLabels.app=\"bqdump\" AND displayName:\"$name: \"" \
  '--format=value(name)' 2>/dev/null || true); do
  later gcloud monitoring policies delete "$policy" "$at" --quiet
done
for kind in published proven verified copied pruned; do
  metric=$(printf %s "$name" | tr - _)_$kind
  counts=$(gcloud logging metrics describe "$metric" "$at" '--format=value(description)' 2>/dev/null || true)
  case $counts in
    *" Cloud Run job $name" | *" Cloud Run job $name-"*) later gcloud logging metrics delete "$metric" "$at" --quiet ;;
  esac
done
# Events of published exports: docs/notify.md.
if gcloud eventarc triggers describe "$name-published" "$at" "--location=$REGION" --format=none >/dev/null 2>&1; then
  later gcloud eventarc triggers delete "$name-published" "$at" "--location=$REGION" --quiet
fi
for bucket in $buckets; do
  for notice in $(gcloud storage buckets notifications list "gs://$bucket" '--format=value(id)' \
    "--filter=topic:topics/$name-published" 2>/dev/null || true); do
    later gcloud storage buckets notifications delete "projects/_/buckets/$bucket/notificationConfigs/$notice"
  done
done
if gcloud pubsub topics describe "$name-published" "$at" --format=none >/dev/null 2>&1; then
  later gcloud pubsub topics delete "$name-published" "$at" --quiet
fi
if marked bqdump gcloud artifacts repositories describe "$name" "$at" "--location=$REGION" '--format=value(labels.app)'; then
  later gcloud artifacts repositories delete "$name" "$at" "--location=$REGION" --quiet
fi

# Service account addresses write a domain-scoped project, example.com:name, as name.example.com.
case $project in
  *:*) address=${project#*:}.${project%%:*} ;;
  *) address=$project ;;
esac
for account in "$name" "$name-copier" "$name-pruner" "$name-restorer" "$name-scheduler" "$name-workflow" "$name-build" \
  "$name-events"; do
  email=$account@$address.iam.gserviceaccount.com
  marked bqdump: gcloud iam service-accounts describe "$email" "$at" '--format=value(displayName)' || continue
  member=serviceAccount:$email
  if [ "$account" = "$name-workflow" ]; then
    revoke roles/bigquery.metadataViewer "$member"
  fi
  see_policies=''
  if [ "$account" = "$name" ]; then
    revoke roles/bigquery.dataViewer "$member"
    see_policies=$(printf %s "$name" | tr - _)_row_policies
    if marked bqdump: gcloud iam roles describe "$see_policies" "--project=$PROJECT_ID" '--format=value(title)'; then
      revoke "projects/$PROJECT_ID/roles/$see_policies" "$member"
    else
      see_policies=''
    fi
    for bucket in $buckets; do
      for role in $(gcloud storage buckets get-iam-policy "gs://$bucket" '--flatten=bindings[].members' \
        "--filter=bindings.members=$member" '--format=value(bindings.role)' | sort -u); do
        later gcloud storage buckets remove-iam-policy-binding "gs://$bucket" "--member=$member" "--role=$role" --all
      done
    done
  fi
  for place in $projects; do
    for role in $(gcloud projects get-iam-policy "$place" '--flatten=bindings[].members' \
      "--filter=bindings.members=$member" '--format=value(bindings.role)'); do
      later gcloud projects remove-iam-policy-binding "$place" "--member=$member" "--role=$role" --all
    done
  done
  [ ! "$see_policies" ] || later gcloud iam roles delete "$see_policies" "--project=$PROJECT_ID" --quiet
  later gcloud iam service-accounts delete "$email" "$at" --quiet
done

# ask_bigquery STATEMENT: print the values of its only column.
ask_bigquery() {
  bq "--project_id=$project" --format=csv --quiet query --use_legacy_sql=false --max_rows=1000 "$1" 2>/dev/null | sed 1d
}
# The names of datasets that exist by name: a pattern stands for others' datasets as well.
for dataset in $granted; do
  schema="\`$PROJECT_ID\`.\`$dataset\`.INFORMATION_SCHEMA"
  dummies=$(ask_bigquery "SELECT table_name FROM $schema.TABLE_OPTIONS WHERE option_name = 'labels' \
AND option_value LIKE '%STRUCT(\"app\", \"bqdump-dummy-data\")%'" | grep -x 'dummy_[0-9][0-9]' || true)
  for table in $dummies; do
    later bq rm --force --table "$PROJECT_ID:$dataset.$table"
  done
  if bq --format=prettyjson show "$PROJECT_ID:$dataset" 2>/dev/null | grep -q '"app": "bqdump-dummy-data"'; then
    if [ "$(ask_bigquery "SELECT COUNT(*) FROM $schema.TABLES")" = "$(printf %s "$dummies" | grep -c .)" ]; then
      # Without -r, BigQuery refuses to remove a dataset that contains a table by now.
      later bq rm --force --dataset "$PROJECT_ID:$dataset"
    else
      echo "teardown: keeping dataset $PROJECT_ID:$dataset: it contains other tables" >&2
    fi
  fi
done

if [ "$with_bucket" ]; then
  if marked bqdump gcloud storage buckets describe "gs://$DESTINATION_BUCKET" '--format=value(labels.app)'; then
    later gcloud storage rm --recursive "gs://$DESTINATION_BUCKET"
  else
    echo "teardown: keeping gs://$DESTINATION_BUCKET: it has no label app=bqdump" >&2
  fi
fi

if [ ! -s "$plan" ]; then
  echo "Nothing to remove in $project, $REGION."
  exit 0
fi
echo "This removes from $project:"
sed 's/^/  /' "$plan"
if [ ! "$yes" ]; then
  printf 'Continue? [y/N] '
  read -r answer || answer=
  case $answer in y | Y | yes) ;; *) echo "Nothing was removed."; exit 1 ;; esac
fi
failed=0
while IFS= read -r command; do
  eval "$command" </dev/null || { echo "teardown: failed: $command" >&2; failed=1; }
done <"$plan"
exit "$failed"
