{{/* What the operator asks of the API server in a namespace that it watches, and nothing else. */}}
{{- define "sentops.operatorRules" }}
rules:
  - apiGroups: [sentops.dev]
    resources: [trainingjobs]
    verbs: [list, watch]
  - apiGroups: [sentops.dev]
    resources: [modelversions]
    verbs: [list, watch, create]
  - apiGroups: [sentops.dev]
    resources: [trainingjobs/status, modelversions/status]
    verbs: [patch]
  - apiGroups: [batch]
    resources: [jobs]
    verbs: [get, list, watch, create, patch, delete]
  - apiGroups: [""]
    resources: [pods]
    verbs: [list, watch]
  - apiGroups: [""]
    resources: [persistentvolumeclaims]
    verbs: [get, create, delete]
  - apiGroups: [""]
    resources: [services]
    verbs: [get, create, patch, delete]
  - apiGroups: [apps]
    resources: [deployments]
    verbs: [list, watch, create, patch, delete]
  - apiGroups: [autoscaling]
    resources: [horizontalpodautoscalers]
    verbs: [create, patch, delete]
  - apiGroups: [policy]
    resources: [poddisruptionbudgets]
    verbs: [create, patch, delete]
  - apiGroups: [events.k8s.io]
    resources: [events]
    verbs: [create]
{{- end }}

{{/* What its cleanup asks, after the release is gone. */}}
{{- define "sentops.cleanupRules" }}
rules:
  - apiGroups: [apps]
    resources: [deployments]
    verbs: [list, delete]
  - apiGroups: [""]
    resources: [services]
    verbs: [list, delete]
  - apiGroups: [autoscaling]
    resources: [horizontalpodautoscalers]
    verbs: [list, delete]
  - apiGroups: [policy]
    resources: [poddisruptionbudgets]
    verbs: [list, delete]
{{- end }}

{{/* (weight) */}}
{{- define "sentops.cleanupHook" }}
  annotations:
    helm.sh/hook: post-delete
    helm.sh/hook-weight: {{ .weight | quote }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
