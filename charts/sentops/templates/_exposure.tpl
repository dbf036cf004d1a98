{{/* How people reach the programs from outside: an Ingress, or routes of a Gateway. */}}

{{- define "sentops.webHost" -}}
{{- if .Values.ingress.enabled }}{{ .Values.ingress.web.host }}{{ else if .Values.gateway.enabled }}{{ .Values.gateway.web.host }}{{ end }}
{{- end }}

{{- define "sentops.backofficeHost" -}}
{{- if .Values.ingress.enabled }}{{ .Values.ingress.backoffice.host }}{{ else if .Values.gateway.enabled }}{{ .Values.gateway.backoffice.host }}{{ end }}
{{- end }}

{{- define "sentops.webIsHttps" -}}
{{- if .Values.ingress.enabled }}{{ not (empty .Values.ingress.web.tlsSecret) }}{{ else }}{{ and .Values.gateway.enabled .Values.gateway.https }}{{ end }}
{{- end }}

{{- define "sentops.backofficeIsHttps" -}}
{{- if .Values.ingress.enabled }}{{ not (empty .Values.ingress.backoffice.tlsSecret) }}{{ else }}{{ and .Values.gateway.enabled .Values.gateway.https }}{{ end }}
{{- end }}

{{/* Where the trainer's /backoffice/* leads a browser. */}}
{{- define "sentops.backofficeAddress" -}}
{{- $host := include "sentops.backofficeHost" . }}
{{- if .Values.backoffice.url }}
{{- trimSuffix "/" .Values.backoffice.url }}
{{- else if $host }}
{{- printf "%s://%s" (ternary "https" "http" (eq (include "sentops.backofficeIsHttps" .) "true")) $host }}
{{- else }}
{{- include "sentops.url" (dict "root" . "program" "backoffice") }}
{{- end }}
{{- end }}
