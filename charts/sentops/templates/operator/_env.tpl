{{/* The operator's environment: every setting of it. */}}
{{- define "sentops.operatorEnv" -}}
{{- $program := dict "root" . "program" "operator" }}
{{- include "sentops.listening" $program }}
- name: SENTOPS_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: SENTOPS_OPERATOR_POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
{{- $settings := dict
  "LEADER_ELECTION" .Values.operator.leaderElection
  "TRAINER_IMAGE" (include "sentops.image" (dict "root" . "program" "trainer"))
  "MODEL_IMAGE" (include "sentops.image" (dict "root" . "program" "model"))
  "IMAGE_PULL_POLICY" .Values.image.pullPolicy
  "CACHE_BESIDE_OUTPUT" .Values.cache.enabled
  "STATUS_URL" (include "sentops.url" (dict "root" . "program" "operator"))
  "RUN_SERVICE_ACCOUNT" (include "sentops.runServiceAccount" .)
  "MODEL_SERVICE_ACCOUNT" (include "sentops.modelServiceAccount" .)
  "RUN_RESOURCES" .Values.runs.resources
  "MODEL_RESOURCES" .Values.model.resources
  "MODEL_REPLICAS" .Values.model.replicas
  "MODEL_MAX_REPLICAS" (max (int .Values.model.replicas) (int .Values.model.maxReplicas))
  "MODEL_CPU_TARGET_PERCENT" .Values.model.cpuTargetPercent
  "MODEL_FAST_PATH" .Values.model.fastPath
}}
{{- if not .Values.operator.watchAllNamespaces }}
{{- $_ := set $settings "NAMESPACES" (join "," (include "sentops.namespaces" . | fromYaml).names) }}
{{- end }}
{{- with .Values.image.pullSecrets }}{{ $_ := set $settings "IMAGE_PULL_SECRETS" (join "," .) }}{{ end }}
{{- with include "sentops.storageSecret" . }}{{ $_ := set $settings "STORAGE_SECRET" . }}{{ end }}
{{- with .Values.cache.existingClaim }}{{ $_ := set $settings "CACHE_CLAIM" . }}{{ end }}
{{- with .Values.runs.work.size }}{{ $_ := set $settings "WORK_STORAGE_SIZE" . }}{{ end }}
{{- with .Values.runs.work.accessMode }}{{ $_ := set $settings "WORK_ACCESS_MODE" . }}{{ end }}
{{- with .Values.runs.work.storageClass }}{{ $_ := set $settings "WORK_STORAGE_CLASS" . }}{{ end }}
{{- with .Values.traces.endpoint }}{{ $_ := set $settings "MODEL_TRACES_ENDPOINT" . }}{{ end }}
{{- with include "sentops.modelPod" . | fromYaml }}{{ $_ := set $settings "MODEL_POD" . }}{{ end }}
{{- range $name, $value := $settings }}
{{ include "sentops.setting" (dict "program" "operator" "name" $name "value" $value) }}
{{- end }}
{{- include "sentops.ownSettings" (dict "program" "operator" "settings" .Values.operator.settings) }}
{{- end }}

{{/* Where model servers may run: the common settings of pods, their own over them, and the node of the artefacts. */}}
{{- define "sentops.modelPod" -}}
{{- $settings := include "sentops.podSettings" (dict "root" . "program" "model") | fromYaml }}
{{- $labels := merge (include "sentops.storeLabels" . | fromYaml) ($settings.labels | default dict) }}
{{- $affinity := $settings.affinity | default (include "sentops.storeAffinity" . | fromYaml) }}
{{- with $labels }}
labels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
