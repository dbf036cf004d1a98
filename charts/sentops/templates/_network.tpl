{{/* Pieces of NetworkPolicies. */}}

{{/* Pods of this release. (root, components) */}}
{{- define "sentops.ours" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ include "sentops.name" .root }}
      app.kubernetes.io/instance: {{ .root.Release.Name }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: {{ toJson .components }}}
{{- end }}

{{/* Pods that the operator makes: "sentops-run" or "sentops-model". (root, name, everywhere: also in other namespaces) */}}
{{- define "sentops.made" -}}
- podSelector:
    matchLabels:
      app.kubernetes.io/name: {{ .name }}
      app.kubernetes.io/managed-by: sentops-operator
  {{- if .everywhere }}
  {{- if .root.Values.operator.watchAllNamespaces }}
  namespaceSelector: {}
  {{- else }}
  namespaceSelector:
    matchExpressions:
      - {key: kubernetes.io/metadata.name, operator: In, values: {{ (include "sentops.namespaces" .root | fromYaml).names | toJson }}}
  {{- end }}
  {{- end }}
{{- end }}

{{- define "sentops.toDns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* Its address cannot be selected; 443 before and 6443 after the translation of the Service's address. */}}
{{- define "sentops.toApiServer" -}}
- to:
    {{- range .Values.networkPolicy.apiServer.cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{- define "sentops.toDatabase" -}}
{{- if .Values.postgresql.enabled -}}
- to:
    {{- include "sentops.ours" (dict "root" . "components" (list "postgresql")) | nindent 4 }}
  ports:
    - {port: 5432, protocol: TCP}
{{- else -}}
- to:
    {{- range .Values.networkPolicy.externalDatabase.cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    - {port: {{ .Values.networkPolicy.externalDatabase.port }}, protocol: TCP}
{{- end }}
{{- end }}

{{/* Only a bucket is reached by network; its port is in the endpoint. */}}
{{- define "sentops.toStore" -}}
{{- if eq .Values.artifacts.type "s3" -}}
- to:
    {{- range .Values.networkPolicy.objectStore.cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.objectStore.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end }}

{{- define "sentops.toTracking" -}}
{{- if include "sentops.tracking" . -}}
- ports:
    {{- range .Values.networkPolicy.mlflow.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.mlflow.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "sentops.toTraces" -}}
{{- if .Values.traces.endpoint -}}
- ports:
    {{- range .Values.networkPolicy.traces.ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .Values.networkPolicy.traces.to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* To where visitors are shown the certificate: the address of a load balancer, which no selector can name. */}}
{{- define "sentops.toCertificate" -}}
{{- with .Values.backoffice.settings.certificateHost -}}
- ports:
    - {port: {{ regexFind "[0-9]+$" (regexFind ":[0-9]+$" .) | default "443" }}, protocol: TCP}
{{- end }}
{{- end }}

{{/* A rule for whoever scrapes; nothing where nobody does. (root, port) */}}
{{- define "sentops.fromMetrics" -}}
{{- $peers := .root.Values.networkPolicy.metricsFrom }}
{{- if or $peers .root.Values.metrics.enabled -}}
- from:
    {{- toYaml ($peers | default (list (dict "namespaceSelector" dict))) | nindent 4 }}
  ports:
    - {port: {{ .port }}, protocol: TCP}
{{- end }}
{{- end }}

{{/* A rule for whoever comes from outside: everybody, unless values say whom. (root, port) */}}
{{- define "sentops.fromOutside" -}}
- ports:
    - {port: {{ .port }}, protocol: TCP}
  {{- with .root.Values.networkPolicy.outsideFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* (root, name, namespace?) */}}
{{- define "sentops.policyHead" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "sentops.fullname" .root }}-{{ .name }}
  namespace: {{ .namespace | default .root.Release.Namespace }}
  labels:
    {{- include "sentops.labels" (dict "root" .root "component" .name) | nindent 4 }}
{{- end }}
