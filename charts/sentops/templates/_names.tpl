{{/* How objects are called and labelled. Selectors hold what never changes in the life of a release. */}}

{{- define "sentops.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for every suffix that is appended to it. */}}
{{- define "sentops.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "sentops.name" .) .Release.Name }}
{{- .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sentops.name" .) | replace "." "-" | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* (root, component) */}}
{{- define "sentops.selector" -}}
app.kubernetes.io/name: {{ include "sentops.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sentops.podLabels" -}}
{{ include "sentops.selector" . }}
app.kubernetes.io/part-of: sentops
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
{{- end }}

{{- define "sentops.labels" -}}
{{ include "sentops.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The image of a program: its own full reference, or <registry>/<prefix><program>:<tag>. (root, program) */}}
{{- define "sentops.image" -}}
{{- $own := index .root.Values .program }}
{{- if $own.image }}
{{- $own.image }}
{{- else }}
{{- $image := .root.Values.image }}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.prefix }}{{ .program }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "sentops.serviceAccount" -}}
{{- printf "%s-%s" (include "sentops.fullname" .root) .component }}
{{- end }}

{{/* Where each program listens; its Service has the same port unless values say otherwise. */}}
{{- define "sentops.port" -}}
{{- get (dict "web" "8000" "backoffice" "8001" "monitor" "8003" "operator" "8080" "model" "8501" "trainer" "8502" "postgresql" "5432") . }}
{{- end }}

{{/* The address of a program for its neighbours. (root, program) */}}
{{- define "sentops.url" -}}
{{- $own := index .root.Values .program }}
{{- $port := (dig "service" "port" 0 $own) | default (include "sentops.port" .program) }}
{{- printf "http://%s-%s.%s.svc:%v" (include "sentops.fullname" .root) .program .root.Release.Namespace $port }}
{{- end }}

{{/* The namespaces whose TrainingJobs and ModelVersions the operator converges, as YAML; ours is always among them. */}}
{{- define "sentops.namespaces" -}}
{{- $names := list .Release.Namespace }}
{{- if not .Values.operator.watchAllNamespaces }}
{{- $names = concat $names .Values.operator.watchNamespaces | uniq }}
{{- end }}
{{- toYaml (dict "names" $names) }}
{{- end }}

{{/* Service accounts of runs and of model servers: one of ours where we know the namespaces, else "default". */}}
{{- define "sentops.runServiceAccount" -}}
{{- .Values.runs.serviceAccount.name | default (ternary "default" (include "sentops.serviceAccount" (dict "root" . "component" "run")) .Values.operator.watchAllNamespaces) }}
{{- end }}

{{- define "sentops.modelServiceAccount" -}}
{{- .Values.model.serviceAccount.name | default (ternary "default" (include "sentops.serviceAccount" (dict "root" . "component" "model")) .Values.operator.watchAllNamespaces) }}
{{- end }}
