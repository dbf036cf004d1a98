{{/*
What is secret: made once, found again by later upgrades, never a default.

`lookup` answers nothing where there is no cluster (helm template, most GitOps tools): there each rendering would make
others, so name existing Secrets instead (README, "GitOps").
*/}}

{{- define "sentops.credentialsSecret" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-credentials" (include "sentops.fullname" .)) }}
{{- end }}

{{- define "sentops.databaseSecret" -}}
{{- $made := printf "%s-database" (include "sentops.fullname" .) }}
{{- if .Values.postgresql.enabled }}
{{- .Values.postgresql.existingSecret | default $made }}
{{- else }}
{{- .Values.externalDatabase.existingSecret | default $made }}
{{- end }}
{{- end }}

{{- define "sentops.databaseKey" -}}
{{- ternary "url" .Values.externalDatabase.existingSecretKey (or .Values.postgresql.enabled (not .Values.externalDatabase.existingSecret)) }}
{{- end }}

{{/* Empty where nothing needs one: volumes, or a cloud identity without endpoint and region. */}}
{{- define "sentops.storageSecret" -}}
{{- if eq .Values.artifacts.type "s3" }}
{{- $s3 := .Values.artifacts.s3 }}
{{- if $s3.existingSecret }}
{{- $s3.existingSecret }}
{{- else if or $s3.accessKeyId $s3.endpoint $s3.region }}
{{- printf "%s-storage" (include "sentops.fullname" .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The content of a Secret in the cluster, in base64, as YAML; nothing where it is not there yet. (root, name) */}}
{{- define "sentops.secretData" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name }}
{{- toYaml (dig "data" (dict) ($found | default dict)) }}
{{- end }}

{{/*
The values of a generated Secret, in base64, as YAML. What a first rendering made is remembered until its end, because the
Secret and the checksums of the pods must speak of the same values. (root, name, lengths: key -> characters)
*/}}
{{- define "sentops.generated" -}}
{{- $made := get .root.Values "generated" | default dict }}
{{- if not (hasKey $made .name) }}
{{- $data := include "sentops.secretData" . | fromYaml }}
{{- $kept := dict }}
{{- range $key, $length := .lengths }}
{{- $_ := set $kept $key (get $data $key | default (randAlphaNum (int $length) | b64enc)) }}
{{- end }}
{{- $_ := set $made .name $kept }}
{{- $_ := set .root.Values "generated" $made }}
{{- end }}
{{- get $made .name | toYaml }}
{{- end }}

{{- define "sentops.credentials" -}}
{{- $name := include "sentops.credentialsSecret" . }}
{{- if .Values.secrets.existingSecret }}
{{- include "sentops.secretData" (dict "root" . "name" $name) }}
{{- else }}
{{- $lengths := dict "trainer-token" 43 "backoffice-api-token" 43 "web-signing-key" 64 "first-admin-password" 20 }}
{{- include "sentops.generated" (dict "root" . "name" $name "lengths" $lengths) }}
{{- end }}
{{- end }}

{{- define "sentops.databaseCredentials" -}}
{{- $name := include "sentops.databaseSecret" . }}
{{- if not .Values.postgresql.enabled }}
{{- if .Values.externalDatabase.existingSecret }}
{{- include "sentops.secretData" (dict "root" . "name" $name) }}
{{- else }}
{{- dict "url" (.Values.externalDatabase.url | b64enc) | toYaml }}
{{- end }}
{{- else if .Values.postgresql.existingSecret }}
{{- include "sentops.secretData" (dict "root" . "name" $name) }}
{{- else }}
{{- $data := include "sentops.generated" (dict "root" . "name" $name "lengths" (dict "password" 32 "superuser-password" 32)) | fromYaml }}
{{- $url := printf "postgresql://sentops:%s@%s-postgresql.%s.svc:5432/prediction" ($data.password | b64dec) (include "sentops.fullname" .) .Release.Namespace }}
{{- merge (dict "url" ($url | b64enc)) $data | toYaml }}
{{- end }}
{{- end }}

{{- define "sentops.storageCredentials" -}}
{{- $s3 := .Values.artifacts.s3 }}
{{- if $s3.existingSecret }}
{{- include "sentops.secretData" (dict "root" . "name" $s3.existingSecret) }}
{{- else }}
{{- $data := dict }}
{{- with $s3.accessKeyId }}{{ $_ := set $data "AWS_ACCESS_KEY_ID" (b64enc .) }}{{ end }}
{{- with $s3.secretAccessKey }}{{ $_ := set $data "AWS_SECRET_ACCESS_KEY" (b64enc .) }}{{ end }}
{{- with $s3.endpoint }}{{ $_ := set $data "AWS_ENDPOINT_URL" (b64enc .) }}{{ end }}
{{- with $s3.region }}{{ $_ := set $data "AWS_DEFAULT_REGION" (b64enc .) }}{{ end }}
{{- toYaml $data }}
{{- end }}
{{- end }}

{{/* What programs with the database and our tokens must be restarted for. */}}
{{- define "sentops.checksumOfSecrets" -}}
{{- include "sentops.credentials" . }}
{{ include "sentops.databaseCredentials" . }}
{{- end }}
