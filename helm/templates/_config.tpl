{{/* The service's configuration, and the files it speaks of. Everything is under /etc/tidewatch:
     tidewatch.yaml, jobs/, tls/ (the authority), client/ (our certificate), sasl/, secrets/PROPERTY/. */}}

{{- define "tidewatch.securityProtocol" -}}
{{- $sasl := not (empty .Values.kafka.sasl.mechanism) }}
{{- if and .Values.kafka.tls.enabled $sasl }}sasl_ssl
{{- else if .Values.kafka.tls.enabled }}ssl
{{- else if $sasl }}sasl_plaintext
{{- else }}plaintext{{ end }}
{{- end }}

{{/* librdkafka's properties: those said, and those that follow from tls and sasl. */}}
{{- define "tidewatch.properties" -}}
{{- $properties := dict "bootstrap.servers" (join "," .Values.kafka.bootstrapServers) "security.protocol" (include "tidewatch.securityProtocol" .) }}
{{- with .Values.kafka.tls }}
{{- if and .enabled .existingSecret }}
{{- $_ := set $properties "ssl.ca.location" (printf "/etc/tidewatch/tls/%s" .caKey) }}
{{- end }}
{{- if and .enabled .clientSecret }}
{{- $_ := set $properties "ssl.certificate.location" (printf "/etc/tidewatch/client/%s" .certKey) }}
{{- $_ := set $properties "ssl.key.location" (printf "/etc/tidewatch/client/%s" .keyKey) }}
{{- end }}
{{- end }}
{{- with .Values.kafka.sasl.mechanism }}
{{- $_ := set $properties "sasl.mechanism" . }}
{{- end }}
{{- if and (include "tidewatch.isStatic" .) (ne (toString (get (.Values.kafka.properties | default dict) "group.protocol")) "consumer") }}
{{- /* Longer than a restart takes: until then the group waits for the pod to come back under its name. */}}
{{- $_ := set $properties "session.timeout.ms" 45000 }}
{{- end }}
{{- /* Numbers come from values as floats; librdkafka wants them without an exponent. */}}
{{- range $name, $value := .Values.kafka.properties }}
{{- if kindIs "float64" $value }}
{{- if eq (floor $value) $value }}{{ $value = int64 $value }}{{ end }}
{{- end }}
{{- $_ := set $properties $name $value }}
{{- end }}
{{- toYaml $properties }}
{{- end }}

{{/* Whether pods are static members of their groups. */}}
{{- define "tidewatch.isStatic" -}}
{{- if and .Values.staticMembership (eq (include "tidewatch.kind" .) "StatefulSet") }}yes{{ end }}
{{- end }}

{{/* Properties whose values are in mounted files. */}}
{{- define "tidewatch.secretFiles" -}}
{{- $files := dict }}
{{- with .Values.kafka.sasl }}
{{- if eq .mechanism "OAUTHBEARER" }}
{{- $_ := set $files "sasl.oauthbearer.token" (printf "/etc/tidewatch/sasl/%s" .tokenKey) }}
{{- else if .mechanism }}
{{- if not .username }}{{ $_ := set $files "sasl.username" (printf "/etc/tidewatch/sasl/%s" .usernameKey) }}{{ end }}
{{- $_ := set $files "sasl.password" (printf "/etc/tidewatch/sasl/%s" .passwordKey) }}
{{- end }}
{{- end }}
{{- range $property, $from := .Values.kafka.secretFiles }}
{{- $_ := set $files $property (printf "/etc/tidewatch/secrets/%s/%s" $property $from.key) }}
{{- end }}
{{- toYaml $files }}
{{- end }}

{{/* tidewatch.yaml */}}
{{- define "tidewatch.config" -}}
{{- $kafka := dict "group_id" .Values.kafka.groupId "properties" (include "tidewatch.properties" . | fromYaml) }}
{{- with include "tidewatch.secretFiles" . | fromYaml }}
{{- $_ := set $kafka "secret_files" . }}
{{- end }}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "kafka" $kafka }}
{{- $_ := set $config "jobs" (list "/etc/tidewatch/jobs") }}
{{- $_ := set $config "http" (merge (dict "bind" (printf "0.0.0.0:%d" (int .Values.port))) (default (dict) $config.http)) }}
{{- if .Values.persistence.enabled }}
{{- $_ := set $config "snapshots" (dict "store" "directory" "path" (printf "%s/snapshots" .Values.persistence.mountPath)) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* The port of an address, or that of its scheme. */}}
{{- define "tidewatch.portOf" -}}
{{- $url := urlParse . }}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" }}
{{- default (ternary "443" "80" (eq $url.scheme "https")) $port }}
{{- end }}

{{/* The ports of what the configuration names beside brokers, as numbers. */}}
{{- define "tidewatch.servicePorts" -}}
{{- $addresses := list }}
{{- $snapshots := .Values.config.snapshots | default dict }}
{{- if eq (toString $snapshots.store) "s3" }}
{{- $addresses = append $addresses ($snapshots.s3_endpoint | default "https://aws") }}
{{- end }}
{{- range $receiver := (.Values.config.alerts | default dict).receivers | default dict }}
{{- $addresses = concat $addresses ($receiver.urls | default list) }}
{{- end }}
{{- with dig "telemetry" "otlp" "endpoint" "" .Values.config }}
{{- $addresses = append $addresses . }}
{{- end }}
{{- $ports := .Values.networkPolicy.egress.services.ports }}
{{- range $addresses }}
{{- $ports = append $ports (include "tidewatch.portOf" . | int) }}
{{- end }}
{{- toYaml ($ports | uniq) }}
{{- end }}
