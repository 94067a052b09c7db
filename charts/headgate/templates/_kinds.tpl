{{/* Kinds that have replicas, with how RBAC calls them. */}}
{{- define "headgate.kinds" -}}
Deployment: {apiGroup: apps, resource: deployments}
StatefulSet: {apiGroup: apps, resource: statefulsets}
LeaderWorkerSet: {apiGroup: leaderworkerset.x-k8s.io, resource: leaderworkersets}
DynamoGraphDeployment: {apiGroup: nvidia.com, resource: dynamographdeployments}
DynamoGraphDeploymentScalingAdapter: {apiGroup: nvidia.com, resource: dynamographdeploymentscalingadapters}
{{- range .Values.rbac.kinds }}
{{ toJson .kind }}: {{ toJson (dict "apiGroup" (default "" .apiGroup) "resource" .resource) }}
{{- end }}
{{- end -}}
