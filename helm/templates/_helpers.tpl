{{/* Names, labels, and what several templates must agree on. */}}

{{- define "tidewatch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tidewatch.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- /* 52: a StatefulSet's pods add a number, its revisions a hash, and both become label values. */}}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "tidewatch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tidewatch.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of a pod: without the chart's version, which alone is no reason to restart one. */}}
{{- define "tidewatch.podLabels" -}}
{{ include "tidewatch.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: detector
app.kubernetes.io/part-of: tidewatch
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tidewatch.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tidewatch.podLabels" . }}
{{- end }}

{{- define "tidewatch.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "tidewatch.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "tidewatch.image" -}}
{{- with .Values.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* Deployment or StatefulSet. */}}
{{- define "tidewatch.kind" -}}
{{- if .Values.persistence.enabled }}StatefulSet{{ else }}{{ default "Deployment" .Values.kind }}{{ end }}
{{- end }}

{{/* The fewest and the most pods there will be. */}}
{{- define "tidewatch.fewest" -}}
{{- if .Values.keda.enabled }}{{ .Values.keda.minReplicaCount }}
{{- else if .Values.autoscaling.enabled }}{{ .Values.autoscaling.minReplicas }}
{{- else }}{{ .Values.replicaCount }}{{ end }}
{{- end }}
{{- define "tidewatch.most" -}}
{{- if .Values.keda.enabled }}{{ .Values.keda.maxReplicaCount }}
{{- else if .Values.autoscaling.enabled }}{{ .Values.autoscaling.maxReplicas }}
{{- else }}{{ .Values.replicaCount }}{{ end }}
{{- end }}

{{/* A Service is there when something needs one. */}}
{{- define "tidewatch.hasService" -}}
{{- if or .Values.service.enabled .Values.metrics.serviceMonitor.enabled (eq (include "tidewatch.kind" .) "StatefulSet") }}yes{{ end }}
{{- end }}

{{- define "tidewatch.configMap" -}}
{{ include "tidewatch.fullname" . }}
{{- end }}

{{/* The jobs as maps, by file name without its end: text is parsed, so that job ids and topics can be read off it. */}}
{{- define "tidewatch.jobs" -}}
{{- $jobs := dict }}
{{- range $name, $job := .Values.jobs }}
{{- if kindIs "string" $job }}{{ $job = fromYaml $job }}{{ end }}
{{- if hasKey $job "Error" }}{{ fail (printf "jobs.%s: is not YAML: %s" $name $job.Error) }}{{ end }}
{{- $_ := set $jobs $name $job }}
{{- end }}
{{- toYaml $jobs }}
{{- end }}

{{/* A quantity of bytes in MiB, as Kubernetes (2Gi) or a job (64mb, a bare number of megabytes) writes it; 0 if it has another unit. */}}
{{- define "tidewatch.mebibytes" -}}
{{- $text := lower (toString .) }}
{{- $unit := regexFind "[a-z]*$" $text }}
{{- $factor := get (dict "" 1.0 "kb" (divf 1.0 1024) "ki" (divf 1.0 1024) "mb" 1.0 "mi" 1.0 "gb" 1024.0 "gi" 1024.0 "tb" 1048576.0 "ti" 1048576.0) $unit | default 0.0 }}
{{- mulf (regexFind "^[0-9.]+" $text | float64) $factor | ceil | int64 }}
{{- end }}

{{/* The most that models of all jobs may take, in MiB. */}}
{{- define "tidewatch.modelMebibytes" -}}
{{- $sum := 0 }}
{{- range $job := include "tidewatch.jobs" . | fromYaml }}
{{- $limit := default "1024mb" (default dict $job.analysis_limits).model_memory_limit }}
{{- $sum = add $sum (include "tidewatch.mebibytes" $limit | int) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* `https` where the service speaks TLS, else nothing. */}}
{{- define "tidewatch.scheme" -}}
{{- if dig "http" "tls" dict .Values.config }}https{{ end }}
{{- end }}

{{/* How the kubelet asks probes: by TLS where the service speaks it. It does not look at the certificate. */}}
{{- define "tidewatch.probeScheme" -}}
{{- with include "tidewatch.scheme" . }}, scheme: {{ upper . }}{{ end }}
{{- end }}

{{/* What cannot be said in the schema. */}}
{{- define "tidewatch.check" -}}
{{- with dig "http" "auth" "probes" "" .Values.config }}
{{- if eq . "guarded" }}
{{- fail "config.http.auth.probes: the kubelet knows no credentials, so guarded probes would restart the pods for ever; leave it open" }}
{{- end }}
{{- end }}
{{- if dig "http" "auth" dict .Values.config }}
{{- range $name := list "podMonitor" "serviceMonitor" }}
{{- $monitor := get $.Values.metrics $name }}
{{- if and $monitor.enabled (not $monitor.authorization) (not $monitor.basicAuth) }}
{{- fail (printf "metrics.%s: /metrics asks for credentials (config.http.auth); say authorization or basicAuth" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if dig "http" "tls" "client_ca_file" "" .Values.config }}
{{- range $name := list "podMonitor" "serviceMonitor" }}
{{- $monitor := get $.Values.metrics $name }}
{{- if and $monitor.enabled (not $monitor.tlsConfig.cert) (not $monitor.tlsConfig.certFile) }}
{{- fail (printf "metrics.%s: /metrics asks for a certificate (config.http.tls.client_ca_file); say tlsConfig with cert and keySecret" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.keda.enabled (not .Values.keda.triggers) (eq .Values.kafka.sasl.mechanism "OAUTHBEARER") }}
{{- fail "keda.triggers: KEDA logs in with a token of its own, so with kafka.sasl.mechanism OAUTHBEARER list the triggers yourself" }}
{{- end }}
{{- $most := int (include "tidewatch.most" .) }}
{{- with .Values.persistence }}
{{- if and .enabled (eq $.Values.kind "Deployment") }}
{{- fail "kind: persistence needs a StatefulSet, whose old pod lets go of the volume before the new one starts; leave kind empty" }}
{{- end }}
{{- if and .enabled (gt $most 1) (not (has "ReadWriteMany" .accessModes)) (not .existingClaim) }}
{{- fail (printf "persistence.accessModes: up to %d pods share the snapshots, which takes ReadWriteMany; or switch persistence off: snapshots in a topic need no volume" $most) }}
{{- end }}
{{- if and .enabled (hasKey $.Values.config "snapshots") }}
{{- fail "config.snapshots: persistence.enabled says where snapshots are; say one of the two" }}
{{- end }}
{{- end }}
{{- range $name := list "bootstrap.servers" "security.protocol" }}
{{- if hasKey $.Values.kafka.properties $name }}
{{- $instead := ternary "kafka.bootstrapServers" "kafka.tls and kafka.sasl" (eq $name "bootstrap.servers") }}
{{- fail (printf "kafka.properties.%s: say %s" $name $instead) }}
{{- end }}
{{- end }}
{{- end }}
