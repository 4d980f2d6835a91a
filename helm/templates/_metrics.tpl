{{/* Scrapes and alerts. */}}

{{/* What PodMonitor and ServiceMonitor share. */}}
{{- define "tidewatch.scrape" -}}
interval: {{ .interval }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Which series are this release's. */}}
{{- define "tidewatch.series" -}}
{{- default (printf "job=%q, namespace=%q" (include "tidewatch.name" .) .Release.Namespace) .Values.metrics.prometheusRule.selector }}
{{- end }}

{{/* Rules from files/alerts.yaml: %selector% and %threshold% filled in, durations, severities and links added. Prometheus's own
     {{ ... }} in annotations is not looked at. */}}
{{- define "tidewatch.rules" -}}
{{- $settings := .Values.metrics.prometheusRule }}
{{- $selector := include "tidewatch.series" . }}
{{- $rules := list }}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).alerts }}
{{- if not (has .alert $settings.disabled) }}
{{- $with := get $settings.rules .alert }}
{{- $threshold := toString (default 0 $with.threshold) }}
{{- $annotations := dict "summary" .summary "description" (.description | replace "%threshold%" $threshold | trim) "runbook_url" (printf "%s#%s" $settings.runbookUrl (lower .alert)) }}
{{- with $settings.grafanaUrl }}
{{- $_ := set $annotations "dashboard_url" (printf "%s/d/tidewatch-operations" (trimSuffix "/" .)) }}
{{- end }}
{{- $labels := merge (dict "severity" $with.severity) $settings.alertLabels }}
{{- $expr := .expr | replace "%selector%" $selector | replace "%threshold%" $threshold | trim }}
{{- $rules = append $rules (dict "alert" .alert "expr" $expr "for" $with.for "labels" $labels "annotations" $annotations) }}
{{- end }}
{{- end }}
{{- toYaml (concat $rules $settings.extraRules) }}
{{- end }}
