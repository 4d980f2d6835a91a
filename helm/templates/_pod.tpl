{{/* The pod, the same in a Deployment, a StatefulSet and the test. */}}

{{- define "tidewatch.env" -}}
# Unique in the group, and the start of the transactional ids.
- name: TIDEWATCH_KAFKA_INSTANCE_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if include "tidewatch.isStatic" . }}
- name: TIDEWATCH_KAFKA_PROPERTIES_GROUP_INSTANCE_ID
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- if and .Values.kafka.sasl.mechanism .Values.kafka.sasl.username }}
# A variable, because KEDA can read one of ours (a value it cannot).
- name: TIDEWATCH_KAFKA_PROPERTIES_SASL_USERNAME
  value: {{ .Values.kafka.sasl.username | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tidewatch.volumeMounts" -}}
- name: config
  mountPath: /etc/tidewatch/tidewatch.yaml
  subPath: tidewatch.yaml
  readOnly: true
- name: jobs
  mountPath: /etc/tidewatch/jobs
  readOnly: true
{{- with .Values.kafka }}
{{- if and .tls.enabled .tls.existingSecret }}
- name: tls
  mountPath: /etc/tidewatch/tls
  readOnly: true
{{- end }}
{{- if and .tls.enabled .tls.clientSecret }}
- name: client
  mountPath: /etc/tidewatch/client
  readOnly: true
{{- end }}
{{- if .sasl.mechanism }}
- name: sasl
  mountPath: /etc/tidewatch/sasl
  readOnly: true
{{- end }}
{{- range $property, $from := .secretFiles }}
- name: secret-{{ $property | replace "." "-" | replace "_" "-" }}
  mountPath: /etc/tidewatch/secrets/{{ $property }}
  readOnly: true
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "tidewatch.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    # Readable by the pod's group alone.
    defaultMode: 0440
    items:
      {{- range .keys }}
      - key: {{ . }}
        path: {{ . }}
      {{- end }}
{{- end }}

{{- define "tidewatch.volumes" -}}
- name: config
  configMap:
    name: {{ include "tidewatch.configMap" . }}
    items:
      - key: tidewatch.yaml
        path: tidewatch.yaml
- name: jobs
  configMap:
    name: {{ default (printf "%s-jobs" (include "tidewatch.fullname" .)) .Values.existingConfigMap }}
{{- with .Values.kafka }}
{{- if and .tls.enabled .tls.existingSecret }}
{{ include "tidewatch.secretVolume" (dict "name" "tls" "secret" .tls.existingSecret "keys" (list .tls.caKey)) }}
{{- end }}
{{- if and .tls.enabled .tls.clientSecret }}
{{ include "tidewatch.secretVolume" (dict "name" "client" "secret" .tls.clientSecret "keys" (list .tls.certKey .tls.keyKey)) }}
{{- end }}
{{- if and .sasl.tokenAudience (eq .sasl.mechanism "OAUTHBEARER") }}
- name: sasl
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          audience: {{ .sasl.tokenAudience }}
          expirationSeconds: {{ .sasl.tokenExpirationSeconds }}
          path: {{ .sasl.tokenKey }}
{{- else if .sasl.mechanism }}
{{- $keys := list .sasl.passwordKey }}
{{- if eq .sasl.mechanism "OAUTHBEARER" }}{{ $keys = list .sasl.tokenKey }}
{{- else if not .sasl.username }}{{ $keys = list .sasl.usernameKey .sasl.passwordKey }}{{ end }}
{{ include "tidewatch.secretVolume" (dict "name" "sasl" "secret" .sasl.existingSecret "keys" $keys) }}
{{- end }}
{{- range $property, $from := .secretFiles }}
{{ include "tidewatch.secretVolume" (dict "name" (printf "secret-%s" ($property | replace "." "-" | replace "_" "-")) "secret" $from.secret "keys" (list $from.key)) }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata and spec of the pod template */}}
{{- define "tidewatch.podTemplate" -}}
metadata:
  annotations:
    checksum/config: {{ include "tidewatch.config" . | sha256sum }}
    {{- if not .Values.existingConfigMap }}
    checksum/jobs: {{ toYaml .Values.jobs | sha256sum }}
    {{- end }}
    kubectl.kubernetes.io/default-container: tidewatch
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "tidewatch.podLabels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "tidewatch.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
  # A Service called tidewatch-... would make variables that begin like ours.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  {{- with .Values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: tidewatch
      image: {{ include "tidewatch.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run, --config, /etc/tidewatch/tidewatch.yaml]
      env:
        {{- include "tidewatch.env" . | nindent 8 }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: {{ .Values.port }}
          protocol: TCP
      startupProbe:
        httpGet: {path: /livez, port: http{{ include "tidewatch.probeScheme" . }}}
        {{- toYaml .Values.startupProbe | nindent 8 }}
      livenessProbe:
        httpGet: {path: /livez, port: http{{ include "tidewatch.probeScheme" . }}}
        {{- toYaml .Values.livenessProbe | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: http{{ include "tidewatch.probeScheme" . }}}
        {{- toYaml .Values.readinessProbe | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        {{- include "tidewatch.volumeMounts" . | nindent 8 }}
        {{- if .Values.persistence.enabled }}
        - name: data
          mountPath: {{ .Values.persistence.mountPath }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "tidewatch.volumes" . | nindent 4 }}
    {{- if .Values.persistence.enabled }}
    - name: data
      persistentVolumeClaim:
        claimName: {{ default (include "tidewatch.fullname" .) .Values.persistence.existingClaim }}
    {{- end }}
  {{- include "tidewatch.placement" . | nindent 2 }}
{{- end }}

{{/* Where and how the pod is placed. */}}
{{- define "tidewatch.placement" -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "hostAliases" "dnsConfig" }}
{{- with get $.Values $key }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- range $key := list "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" }}
{{- with get $.Values $key }}
{{ $key }}: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $constraint := deepCopy . }}
  {{- if not (hasKey $constraint "labelSelector") }}
  {{- $_ := set $constraint "labelSelector" (dict "matchLabels" (include "tidewatch.selectorLabels" $ | fromYaml)) }}
  {{- end }}
  - {{- toYaml $constraint | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
