{{/* What all pods of this chart have in common. PodSecurity "restricted" admits every one of them. */}}

{{/* Settings of a program's pods: the common ones, and its own over them. (root, program) */}}
{{- define "sentops.podSettings" -}}
{{- $own := (get .root.Values .program).pod | default dict }}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.pods) (deepCopy $own)) }}
{{- end }}

{{/* (root, program, checksum: what must roll the pods when it changes) */}}
{{- define "sentops.podMetadata" -}}
{{- $settings := include "sentops.podSettings" . | fromYaml }}
labels:
  {{- include "sentops.podLabels" (dict "root" .root "component" .program) | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $settings.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .checksum $settings.annotations }}
annotations:
  {{- with .checksum }}
  checksum/config: {{ sha256sum . }}
  {{- end }}
  {{- with $settings.annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* (root, program, serviceAccount?, token: whether it may ask the API server, user?) */}}
{{- define "sentops.podBasics" -}}
{{- $settings := include "sentops.podSettings" . | fromYaml }}
serviceAccountName: {{ .serviceAccount | default (include "sentops.serviceAccount" (dict "root" .root "component" .program)) }}
automountServiceAccountToken: {{ .token | default false }}
# Else every Service becomes environment, and a release called "sentops" would set SENTOPS_WEB_PORT=tcp://...
enableServiceLinks: false
{{- include "sentops.pullSecrets" .root }}
{{- include "sentops.podSecurity" (dict "user" (.user | default 10001)) | nindent 0 }}
{{- with $settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := $settings.affinity }}
{{- if and (not $affinity) .onStore }}
{{- $affinity = include "sentops.storeAffinity" .root | fromYaml }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sentops.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "sentops.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* Over zones and nodes as far as possible. (root, program, byTemplate: count only pods of one roll-out) */}}
{{- define "sentops.spread" -}}
{{- $settings := include "sentops.podSettings" . | fromYaml }}
{{- if $settings.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml $settings.topologySpreadConstraints | nindent 2 }}
{{- else }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sentops.selector" (dict "root" $.root "component" $.program) | nindent 8 }}
    {{- if $.byTemplate }}
    matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* (root, program) */}}
{{- define "sentops.containerBasics" -}}
image: {{ include "sentops.image" . | quote }}
{{ include "sentops.containerSecurity" .root }}
{{- end }}

{{- define "sentops.containerSecurity" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}

{{/* (live, ready: paths). A program answers once its lifespan has begun, so starting gets two minutes. */}}
{{- define "sentops.probes" -}}
startupProbe:
  httpGet: {path: {{ .live }}, port: http}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  httpGet: {path: {{ .ready }}, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
livenessProbe:
  httpGet: {path: {{ .live }}, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* After a pod is told to end some clients still send to it: endpoints take a moment to be known everywhere. */}}
{{- define "sentops.linger" -}}
lifecycle:
  preStop:
    sleep: {seconds: 5}
{{- end }}

{{/* Waits for the database and brings its schema up to date; several at once take turns. (root) */}}
{{- define "sentops.migrateContainer" -}}
- name: migrate
  {{- include "sentops.containerBasics" (dict "root" .root "program" "backoffice") | nindent 2 }}
  command: [python, -m, sentops_core.store.migrate, --wait, "300"]
  env:
    - name: SENTOPS_DATABASE_URL
      {{- include "sentops.databaseUrl" .root | nindent 6 }}
  resources:
    {{- toYaml .root.Values.migrations.resources | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "sentops.migrateFirst" -}}
{{- $when := .Values.migrations.beforeUpgrade }}
{{- $running := lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-backoffice" (include "sentops.fullname" .)) }}
{{- if or (eq $when "always") (and (eq $when "auto") (gt (int (dig "status" "availableReplicas" 0 ($running | default dict))) 0)) }}true{{ end }}
{{- end }}
