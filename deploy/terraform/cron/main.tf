# How often cron schedules start something, and which of them are none. After the longest time between two starts, and 2
# hours for the work itself, something is overdue. Fields: minute, hour, day of the month, month, day of the week.

variable "schedules" {
  description = "Schedules; empty ones are left out."
  type        = list(string)
}

output "hours" {
  description = "The hours after which something is overdue, by schedule."
  value       = { for schedule, pause in local.cron_within : schedule => 2 + ceil(max(pause, local.cron_nights[schedule]) / 60) }
}

output "refused" {
  description = "What is wrong with the others, in a sentence each."
  value = [
    for schedule in local.schedules : (
      contains(local.cron_known, schedule) ? "The schedule ${schedule} never starts anything." :
      "The schedule ${schedule} is none: expected minute (0-59), hour (0-23), day (1-31), month (1-12) and day of the week (0-7), such as 0 3 * * 1-5."
    ) if !contains(keys(local.cron), schedule)
  ]
}

locals {
  schedules = distinct(compact(var.schedules))

  cron_first = [0, 0, 1, 1, 0]
  cron_last  = [59, 23, 31, 12, 7]
  cron_names = [
    {},
    {},
    {},
    { for number, name in ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] : name => number + 1 },
    { for number, name in ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] : name => number },
  ]
  cron_fields = { for schedule in local.schedules : schedule => regexall("\\S+", lower(schedule)) }
  # Each field as a list of parts: *, a, a-b, and each of them with a step: */n. What is none of them is out of range.
  cron_parts = {
    for schedule, fields in local.cron_fields : schedule => [
      for at, field in fields : [
        for part in split(",", field) : [
          for found in concat(regexall("^([*]|[0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?(?:/([0-9]{1,2}))?$", part), [["none", null, null]]) : {
            first = found[0] == "*" ? local.cron_first[at] : lookup(local.cron_names[at], found[0], try(tonumber(found[0]), -1))
            last = (
              found[1] != null ? lookup(local.cron_names[at], found[1], try(tonumber(found[1]), -1)) :
              found[0] == "*" || found[2] != null ? local.cron_last[at] :
              lookup(local.cron_names[at], found[0], try(tonumber(found[0]), -1))
            )
            step = found[2] == null ? 1 : tonumber(found[2])
          }
        ][0]
      ]
    ] if length(fields) == 5
  }
  cron_known = [
    for schedule, fields in local.cron_parts : schedule if alltrue(flatten([
      for at, parts in fields : [
        for part in parts : local.cron_first[at] <= part.first && part.first <= part.last && part.last <= local.cron_last[at] && part.step > 0
      ]
    ]))
  ]
  cron_values = {
    for schedule in local.cron_known : schedule => [
      for parts in local.cron_parts[schedule] : flatten([for part in parts : range(part.first, 1 + part.last, part.step)])
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
  cron_either = { for schedule, fields in local.cron_fields : schedule => substr(fields[2], 0, 1) != "*" && substr(fields[4], 0, 1) != "*" if length(fields) == 5 }
  # The days of five years, of schedules that name days or months.
  cron_dated = {
    for schedule, values in local.cron_values : schedule => tolist(flatten([
      for number, start in local.month_starts : [
        for day in values[2] : start + day
        if day <= local.month_days[number] && (local.cron_either[schedule] || contains([for of_week in values[4] : of_week % 7], (start + day) % 7))
      ] if contains(values[3], number % 12 + 1)
    ]))
    if local.cron_fields[schedule][2] != "*" || local.cron_fields[schedule][3] != "*"
  }
  cron_days = { for schedule, days in local.cron_dated : schedule => days if length(days) > 1 }
  cron      = { for schedule, values in local.cron_values : schedule => values if length(lookup(local.cron_dated, schedule, [1, 2])) > 1 }
  # In days, from one that starts something to the next: by the days of the week, and by those of the month.
  cron_week = { for schedule, values in local.cron : schedule => sort(distinct([for day in values[4] : tostring(day % 7)])) }
  cron_weekly = {
    for schedule, days in local.cron_week : schedule => max(
      [for at, day in days : at + 1 < length(days) ? days[min(at + 1, length(days) - 1)] - day : 7 + days[0] - day]...
    )
  }
  cron_monthly = {
    for schedule, days in local.cron_days : schedule => max(
      [for at, day in days : days[min(at + 1, length(days) - 1)] - day]...
    )
  }
  cron_gaps = {
    for schedule, values in local.cron : schedule => (
      !contains(keys(local.cron_monthly), schedule) ? local.cron_weekly[schedule] :
      local.cron_either[schedule] && local.cron_fields[schedule][3] == "*" ? min(local.cron_weekly[schedule], local.cron_monthly[schedule]) : local.cron_monthly[schedule]
    )
  }
  # In minutes: the starts of a day, and the longest time from one of them to the next.
  cron_times = {
    for schedule, values in local.cron : schedule => sort(distinct(flatten([for hour in values[1] : [for minute in values[0] : format("%04d", 60 * hour + minute)]])))
  }
  cron_within = {
    for schedule, times in local.cron_times : schedule => max(
      [for at, time in times : tonumber(times[min(at + 1, length(times) - 1)]) - tonumber(time)]...
    )
  }
  cron_nights = {
    for schedule, times in local.cron_times : schedule => 24 * 60 * local.cron_gaps[schedule] - tonumber(times[length(times) - 1]) + tonumber(times[0])
  }
}
