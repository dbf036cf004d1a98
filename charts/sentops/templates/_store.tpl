{{/* The artefact store: on a volume claim, or in a bucket. */}}

{{- define "sentops.artifactsClaim" -}}
{{- .Values.artifacts.pvc.existingClaim | default (printf "%s-artifacts" (include "sentops.fullname" .)) }}
{{- end }}

{{- define "sentops.storeUri" -}}
{{- if eq .Values.artifacts.type "s3" -}}
s3://{{ .Values.artifacts.s3.bucket }}{{ with trimAll "/" .Values.artifacts.s3.prefix }}/{{ . }}{{ end }}
{{- else -}}
pvc://{{ include "sentops.artifactsClaim" . }}/store
{{- end }}
{{- end }}

{{/* A volume that one node can mount keeps its pods on one node; they find each other by this label. */}}
{{- define "sentops.onOneNode" -}}
{{- if and (eq .Values.artifacts.type "pvc") .Values.artifacts.pvc.keepOnOneNode (not (has "ReadWriteMany" .Values.artifacts.pvc.accessModes)) }}true{{ end }}
{{- end }}

{{- define "sentops.storeLabels" -}}
{{- if include "sentops.onOneNode" . }}
sentops.dev/artifacts: {{ include "sentops.artifactsClaim" . | trunc 63 | trimAll "-." }}
{{- end }}
{{- end }}

{{- define "sentops.storeAffinity" -}}
{{- if include "sentops.onOneNode" . }}
podAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "sentops.storeLabels" . | nindent 10 }}
{{- end }}
{{- end }}

{{- define "sentops.storeVolume" -}}
{{- if eq .Values.artifacts.type "pvc" }}
- name: artifacts
  persistentVolumeClaim:
    claimName: {{ include "sentops.artifactsClaim" . }}
{{- end }}
{{- end }}

{{/* (root) */}}
{{- define "sentops.storeMount" -}}
{{- if eq .root.Values.artifacts.type "pvc" }}
- name: artifacts
  mountPath: /pvc/{{ include "sentops.artifactsClaim" .root }}
{{- end }}
{{- end }}

{{/* Whether there is an MLflow, to which the trainer takes the files of versions. */}}
{{- define "sentops.tracking" -}}
{{- if or .Values.tracking.mlflowUrl .Values.tracking.existingSecret }}true{{ end }}
{{- end }}

{{- define "sentops.storeEnvFrom" -}}
{{- with include "sentops.storageSecret" . }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
{{- end }}
