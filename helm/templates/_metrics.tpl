{{/* Scrapes and alerts. */}}

{{/* What PodMonitor and ServiceMonitor share: of a dict of `monitor`, its values, and `root`. */}}
{{- define "tidewatch.scrape" -}}
{{- $monitor := .monitor }}
interval: {{ $monitor.interval }}
{{- with $monitor.scheme | default (include "tidewatch.scheme" .root) }}
scheme: {{ . }}
{{- end }}
{{- with $monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- range $key := list "tlsConfig" "basicAuth" "authorization" "relabelings" "metricRelabelings" }}
{{- with get $monitor $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
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
