# How often the schedules start something: after the longest time between two starts, and 2 hours for the run itself,
# something is overdue. Fields: minute, hour, day of the month, month, day of the week.

locals {
  schedules = {
    published = local.by_workflow ? var.workflow_schedule : var.schedule
    proven    = var.drill_schedule
  }

  cron_first = [0, 0, 1, 1, 0]
  cron_last  = [59, 23, 31, 12, 7]
  cron_names = merge(
    { for number, name in ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] : name => tostring(number + 1) },
    { for number, name in ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] : name => tostring(number) },
  )
  cron_fields = { for kind, schedule in local.schedules : kind => regexall("\\S+", lower(schedule)) if schedule != "" }
  # Each field as the list of its values. A part is *, a, a-b, and each of them with a step: */n.
  cron = {
    for kind, fields in local.cron_fields : kind => [
      for at, field in fields : flatten([
        for part in split(",", field) : [
          for found in regexall("^([*]|[0-9a-z]+)(?:-([0-9a-z]+))?(?:/([0-9]+))?$", part) : range(
            found[0] == "*" ? local.cron_first[at] : tonumber(lookup(local.cron_names, found[0], found[0])),
            1 + (
              found[1] != null ? tonumber(lookup(local.cron_names, found[1], found[1])) :
              found[0] == "*" || found[2] != null ? local.cron_last[at] :
              tonumber(lookup(local.cron_names, found[0], found[0]))
            ),
            found[2] == null ? 1 : tonumber(found[2]),
          )
        ]
      ])
    ]
  }

  # The months of five years, with two leap years among them: their length, and the days before them. 2024 began on a
  # Monday.
  month_days = flatten([
    for year in range(2024, 2029) : [
      for month in range(1, 13) : month == 2 ? (year % 4 == 0 ? 29 : 28) : contains([4, 6, 9, 11], month) ? 30 : 31
    ]
  ])
  month_starts = [for number, days in local.month_days : sum(concat([0], slice(local.month_days, 0, number)))]
  # Where both kinds of days are given, either will do; where one of them is * or */n, both must fit.
  cron_either = { for kind, fields in local.cron_fields : kind => substr(fields[2], 0, 1) != "*" && substr(fields[4], 0, 1) != "*" }
  # The days of five years, of schedules that name days or months.
  cron_days = {
    for kind, cron in local.cron : kind => tolist(flatten([
      for number, start in local.month_starts : [
        for day in cron[2] : start + day
        if day <= local.month_days[number] && (local.cron_either[kind] || contains([for of_week in cron[4] : of_week % 7], (start + day) % 7))
      ] if contains(cron[3], number % 12 + 1)
    ]))
    if local.cron_fields[kind][2] != "*" || local.cron_fields[kind][3] != "*"
  }
  # In days, from one that starts something to the next: by the days of the week, and by those of the month.
  cron_week = { for kind, cron in local.cron : kind => sort(distinct([for day in cron[4] : tostring(day % 7)])) }
  cron_weekly = {
    for kind, days in local.cron_week : kind => max(
      [for at, day in days : at + 1 < length(days) ? days[min(at + 1, length(days) - 1)] - day : 7 + days[0] - day]...
    )
  }
  cron_monthly = {
    for kind, days in local.cron_days : kind => max(
      [for at, day in days : days[min(at + 1, length(days) - 1)] - day]...
    )
  }
  cron_gaps = {
    for kind, fields in local.cron_fields : kind => (
      !contains(keys(local.cron_monthly), kind) ? local.cron_weekly[kind] :
      local.cron_either[kind] && fields[3] == "*" ? min(local.cron_weekly[kind], local.cron_monthly[kind]) : local.cron_monthly[kind]
    )
  }
  # In minutes: the starts of a day, and the longest time from one of them to the next.
  cron_times = {
    for kind, cron in local.cron : kind => sort(distinct(flatten([for hour in cron[1] : [for minute in cron[0] : format("%04d", 60 * hour + minute)]])))
  }
  cron_within = {
    for kind, times in local.cron_times : kind => max(
      [for at, time in times : tonumber(times[min(at + 1, length(times) - 1)]) - tonumber(time)]...
    )
  }
  cron_nights = {
    for kind, times in local.cron_times : kind => 24 * 60 * local.cron_gaps[kind] - tonumber(times[length(times) - 1]) + tonumber(times[0])
  }
  derived = { for kind, pause in local.cron_within : kind => 2 + ceil(max(pause, local.cron_nights[kind]) / 60) }
  hours = {
    published = coalesce(var.hours_without_export, lookup(local.derived, "published", 0))
    proven    = coalesce(var.hours_without_proof, lookup(local.derived, "proven", 0))
  }
}
