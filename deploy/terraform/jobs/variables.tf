variable "deployment" {
  description = "Where and how all jobs run."
  type = object({
    project             = string
    region              = string
    name                = string
    labels              = map(string)
    time_zone           = string
    timeout             = string
    cpu                 = string
    job_kms_key         = string
    deletion_protection = bool
  })
}

variable "jobs" {
  description = "The jobs, by the command that each runs. Without work for so many hours, an alert is sent; 0: none is."
  type = map(object({
    arguments   = list(string)
    variables   = map(string)
    secrets     = map(object({ secret = string, version = string }))
    image       = string
    tasks       = number
    max_retries = number
    memory      = string
    account     = string
    schedule    = string
    hours       = number
    exports     = list(object({ dataset = string, target = string }))
  }))
}

variable "workflow" {
  description = "A workflow repeats exports that fail, so it alerts instead of their job."
  type        = bool
}

variable "scheduler" {
  description = "The account that starts the jobs, once it is known everywhere: email and member. Null without schedules."
  type        = object({ email = string, member = string })
}

variable "alerts" {
  description = "Whom alerts notify, how long incidents stay open, and from how many billed bytes on one is sent."
  type        = object({ channels = list(string), auto_close = string, bytes_billed = number })
}
