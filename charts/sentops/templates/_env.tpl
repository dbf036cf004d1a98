{{/* Environment of the programs: exactly the fields of their settings. */}}

{{/* A value as the text that pydantic reads. */}}
{{- define "sentops.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* (program, name, value) */}}
{{- define "sentops.setting" -}}
- name: SENTOPS_{{ upper .program }}_{{ .name }}
  value: {{ include "sentops.text" .value | quote }}
{{- end }}

{{/* (program, name, secret, key) */}}
{{- define "sentops.secretSetting" -}}
- name: SENTOPS_{{ upper .program }}_{{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}

{{/* The settings that values give by the names of the program's own fields, in camelCase. (program, settings) */}}
{{- define "sentops.ownSettings" -}}
{{- range $name, $value := .settings }}
{{- if not (kindIs "invalid" $value) }}
{{ include "sentops.setting" (dict "program" $.program "name" ($name | snakecase | upper) "value" $value) }}
{{- end }}
{{- end }}
{{- end }}

{{/* (root, program) */}}
{{- define "sentops.listening" -}}
{{ include "sentops.setting" (dict "program" .program "name" "HOST" "value" .root.Values.bindAddress) }}
{{ include "sentops.setting" (dict "program" .program "name" "PORT" "value" (include "sentops.port" .program)) }}
{{- end }}

{{/* By OpenTelemetry's own name, which every SDK reads. */}}
{{- define "sentops.tracesEnv" -}}
{{- with .Values.traces.endpoint -}}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "sentops.databaseUrl" -}}
valueFrom:
  secretKeyRef:
    name: {{ include "sentops.databaseSecret" . }}
    key: {{ include "sentops.databaseKey" . }}
{{- end }}
