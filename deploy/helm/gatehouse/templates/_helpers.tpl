{{- define "gatehouse.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gatehouse.labels" -}}
{{ include "gatehouse.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "gatehouse.env" -}}
- name: GATEHOUSE_PUBLIC_URL
  value: {{ required "publicURL is needed: the address clients use" .Values.publicURL | quote }}
- name: GATEHOUSE_DATABASE_FILE
  value: /run/secrets/gatehouse/database
- name: GATEHOUSE_ENCRYPTION_KEYS_FILE
  value: /run/secrets/gatehouse/encryption-keys
{{- if .Values.redis.enabled }}
- name: GATEHOUSE_REDIS_FILE
  value: /run/secrets/gatehouse/redis
{{- end }}
- name: GATEHOUSE_LISTEN
  value: 0.0.0.0:8080
{{- if .Values.metrics.enabled }}
- name: GATEHOUSE_METRICS_LISTEN
  value: 0.0.0.0:9464
- name: GATEHOUSE_METRICS_TOKEN_FILE
  value: /run/secrets/gatehouse/{{ .Values.metrics.tokenKey }}
{{- else }}
- name: GATEHOUSE_METRICS_LISTEN
  value: none
{{- end }}
- name: GATEHOUSE_SHUTDOWN_DELAY
  value: {{ .Values.shutdownDelay | quote }}
- name: GATEHOUSE_SHUTDOWN_GRACE
  value: {{ .Values.shutdownGrace | quote }}
{{- with .Values.trustedProxies }}
- name: GATEHOUSE_TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- range $name, $value := .Values.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}
