# What is exported, and where to: by the job, and by the workflow, if that has a schedule.

locals {
  # An item of the workflow takes from the job what it omits.
  job_prefix    = lookup(var.settings, "BQDUMP_PREFIX", "")
  job_item      = tomap({ project = local.source_project, dataset = var.dataset, bucket = var.bucket, prefix = local.job_prefix })
  items = [
    for item in concat([local.job_item], var.workflow ? var.exports : []) : {
      project   = lookup(item, "project", local.source_project)
      names     = compact([for name in split(",", lookup(item, "dataset", var.dataset)) : trimspace(name)])
      bucket    = lookup(item, "bucket", var.bucket)
      prefix    = trim(trimspace(lookup(item, "prefix", local.job_prefix)), "/")
    }
  ]
  # As the program's log lines name it: the setting, and gs://BUCKET/PREFIX/.
  exported = [
    for item in local.items : {
      bucket  = item.bucket
      folder  = item.prefix == "" ? "" : "${item.prefix}/"
      dataset = join(",", item.names)
      is_set  = length(item.names) > 1 || length(regexall("[*?:]", join(",", item.names))) > 0
      target  = "${trimsuffix("gs://${item.bucket}/${item.prefix}", "/")}/"
    }
  ]
  # The first one is the job's own, which the workflow does not start.
  job_export = local.exported[0]
  watched    = distinct(local.by_workflow ? slice(local.exported, 1, length(local.exported)) : [local.job_export])

  # Objects that are written whenever something is published, and at no other time: by bucket and name.
  published_objects = distinct([
    for export in local.watched : {
      bucket = export.bucket
      name   = "${export.folder}_bqdump/${export.is_set ? "project" : "latest"}.json"
    }
  ])

  # What grants are about: names of datasets, and "" for every dataset of the project, which a pattern needs.
  pairs = distinct(flatten([
    for item in local.items : [
      for name in length(regexall("[*?:]", join(",", item.names))) > 0 ? [""] : item.names : { project = item.project, dataset = name }
    ]
  ]))
  has_pattern    = contains(local.pairs, { project = local.source_project, dataset = "" })
  named_datasets = toset([for pair in local.pairs : pair.dataset if pair.project == local.source_project && !local.has_pattern])
  # In other projects, which items of the workflow may name.
  elsewhere      = { for pair in local.pairs : trimsuffix("${pair.project}/${pair.dataset}", "/") => pair if pair.project != local.source_project }
  other_projects = toset([for pair in local.elsewhere : pair.project])
  other_buckets  = setsubtract(toset(local.exported[*].bucket), [var.bucket])
  # Where the workflow's items are copied to, as far as that is in Cloud Storage.
  copy_buckets = setsubtract(
    toset([for item in var.workflow ? var.exports : [] : split("/", trimprefix(item.copy_to, "gs://"))[0] if length(regexall("^gs://", lookup(item, "copy_to", ""))) > 0]),
    setunion(local.other_buckets, [var.bucket]),
  )
}
