{{/* Name of the objects: the release's, and the chart's where that does not say it. */}}
{{- define "headgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects the Pods; it never changes for a release. */}}
{{- define "headgate.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: scaler
{{- end -}}

{{/* Labels of an object, of (list . more [component]): what the chart says comes before what values say. */}}
{{- define "headgate.labels" -}}
{{- $root := index . 0 -}}
{{- $chart := printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $said := dict
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" $chart -}}
{{- $selects := include "headgate.selector" $root | fromYaml -}}
{{- if gt (len .) 2 -}}
{{- $_ := set $selects "app.kubernetes.io/component" (index . 2) -}}
{{- end -}}
{{- include "headgate.strings" (merge $selects $said (deepCopy (index . 1)) (deepCopy $root.Values.commonLabels)) -}}
{{- end -}}

{{/* A mapping whose values must be strings: labels, annotations, node selectors. */}}
{{- define "headgate.strings" -}}
{{- $strings := dict -}}
{{- range $key, $value := . -}}
{{- $_ := set $strings $key (toString $value) -}}
{{- end -}}
{{- toYaml $strings -}}
{{- end -}}

{{- define "headgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "headgate.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "headgate.configMapName" -}}
{{- default (include "headgate.fullname" .) .Values.existingConfigMap -}}
{{- end -}}

{{/* What a Pod of Headgate may do on its node: nothing. */}}
{{- define "headgate.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "headgate.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
{{- end -}}

{{/* The names of the Leases, as JSON. */}}
{{- define "headgate.leases" -}}
{{- $name := include "headgate.fullname" . -}}
{{- $count := int .Values.shards -}}
{{- $leases := list -}}
{{- range $index := until $count -}}
{{- $leases = append $leases (ternary $name (printf "%s-%d-of-%d" $name $index $count) (eq $count 1)) -}}
{{- end -}}
{{- toJson $leases -}}
{{- end -}}
