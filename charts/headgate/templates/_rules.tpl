{{/*
What Headgate may do, and not a verb more. The rules are those of planner/cluster/needs.py and sighting.py; a test
holds them together. They are gathered in a dictionary, namespace -> (JSON of group, resource, name) -> verbs, so that two
pools of one owner need one rule; an empty name stands for any.
*/}}

{{/* Read "a kind" as (dict group resource). */}}
{{- define "headgate.resource" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $version := index . 2 -}}
{{- $known := include "headgate.kinds" $root | fromYaml -}}
{{- $found := default dict (get $known $kind) -}}
{{- if not $found -}}
{{- if not $version -}}
{{- fail (printf "rbac.targets names kind %s, which the chart does not know: say in rbac.kinds what RBAC calls it, as {kind, apiGroup, resource}" $kind) -}}
{{- end -}}
{{- $lower := lower $kind -}}
{{- $plural := printf "%ss" $lower -}}
{{- if regexMatch "(s|x|ch|sh)$" $lower -}}
{{- $plural = printf "%ses" $lower -}}
{{- else if regexMatch "[^aeiou]y$" $lower -}}
{{- $plural = printf "%sies" (trimSuffix "y" $lower) -}}
{{- end -}}
{{- $group := ternary (splitList "/" $version | first) "" (contains "/" $version) -}}
{{- $found = dict "apiGroup" $group "resource" $plural -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Add verbs: (list rules namespace group resource name verbs). */}}
{{- define "headgate.allow" -}}
{{- $rules := index . 0 -}}
{{- $namespace := index . 1 -}}
{{- $key := toJson (list (index . 2) (index . 3) (index . 4)) -}}
{{- $here := default dict (get $rules $namespace) -}}
{{- $_ := set $here $key (concat (default list (get $here $key)) (index . 5) | uniq) -}}
{{- $_ := set $rules $namespace $here -}}
{{- end -}}

{{/* Rules for one owner: (list root rules namespace kind api_version name component changes). */}}
{{- define "headgate.allowOwner" -}}
{{- $root := index . 0 -}}
{{- $rules := index . 1 -}}
{{- $namespace := index . 2 -}}
{{- $kind := index . 3 -}}
{{- $name := index . 5 -}}
{{- $component := index . 6 -}}
{{- $changes := index . 7 -}}
{{- $scale := ternary (list "get" "patch") (list "get") $changes -}}
{{- $of := include "headgate.resource" (list $root $kind (index . 4)) | fromJson -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup $of.resource $name (list "get")) -}}
{{- /* A watch cannot be bound to a name. */ -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup $of.resource "" (list "list" "watch")) -}}
{{- if has $kind (list "DynamoGraphDeployment" "DynamoGraphDeploymentScalingAdapter") -}}
{{- range list "dynamographdeployments" "dynamographdeploymentscalingadapters" -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup . "" (list "list" "watch")) -}}
{{- end -}}
{{- end -}}
{{- if ne $kind "DynamoGraphDeployment" -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup (printf "%s/scale" $of.resource) $name $scale) -}}
{{- else -}}
{{- $adapter := ternary (printf "%s-%s" $name (lower $component)) "" (and (ne $name "") (ne $component "")) -}}
{{- $adapters := "dynamographdeploymentscalingadapters" -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup $adapters $adapter (list "get")) -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup (printf "%s/scale" $adapters) $adapter $scale) -}}
{{- if $changes -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup $of.resource $name (list "patch")) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* All rules by namespace, as JSON. A deployment that only observes changes nothing; one that recommends asks
for dry runs, which need the verb. */}}
{{- define "headgate.rules" -}}
{{- $root := . -}}
{{- $rules := dict -}}
{{- range $deployment := .Values.config.deployments -}}
{{- $changes := ne (default "observe" $deployment.mode) "observe" -}}
{{- $whole := default dict $deployment.target -}}
{{- $owners := list -}}
{{- range $role := list "prefill" "decode" "aggregated" -}}
{{- if hasKey $deployment.pools $role -}}
{{- $target := default dict (default dict (get $deployment.pools $role)).target -}}
{{- if or $whole $target -}}
{{- $namespace := default (default $root.Release.Namespace $whole.namespace) $target.namespace -}}
{{- $kind := default "DynamoGraphDeployment" $target.kind -}}
{{- $name := default (default "" $whole.dynamo) $target.name -}}
{{- $version := default "nvidia.com/v1beta1" $target.api_version -}}
{{- $component := default "" $target.component -}}
{{- include "headgate.allowOwner" (list $root $rules $namespace $kind $version $name $component $changes) -}}
{{- include "headgate.allowNamespace" (list $rules $namespace) -}}
{{- $owners = append $owners (list $namespace $kind $version $name) -}}
{{- if and $changes (default dict $deployment.reshape).allowed -}}
{{- /* A change of layout is a patch of the owner's template. */ -}}
{{- $of := include "headgate.resource" (list $root $kind $version) | fromJson -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup $of.resource $name (list "patch")) -}}
{{- end -}}
{{- $headroom := (default dict $deployment.nodes).headroom -}}
{{- if and $headroom $changes -}}
{{- $prefix := default (printf "%s-headroom" $deployment.name) $headroom.name -}}
{{- include "headgate.allowHeadroom" (list $rules $namespace (printf "%s-%s" $prefix $role)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and $changes (gt (len $owners) 1) -}}
{{- /* The intent of a change of two roles is annotated on the owner of the first. */ -}}
{{- $first := first $owners -}}
{{- $of := include "headgate.resource" (list $root (index $first 1) (index $first 2)) | fromJson -}}
{{- include "headgate.allow" (list $rules (index $first 0) $of.apiGroup $of.resource (index $first 3) (list "patch")) -}}
{{- end -}}
{{- end -}}
{{- range .Values.rbac.targets -}}
{{- $changes := ne (toString .act) "false" -}}
{{- $namespace := .namespace -}}
{{- include "headgate.allowNamespace" (list $rules $namespace) -}}
{{- range .kinds -}}
{{- include "headgate.allowOwner" (list $root $rules $namespace . "" "" "" $changes) -}}
{{- if $changes -}}
{{- $of := include "headgate.resource" (list $root . "") | fromJson -}}
{{- include "headgate.allow" (list $rules $namespace $of.apiGroup $of.resource "" (list "patch")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $rules -}}
{{- end -}}

{{/* One Deployment of headroom pods: (list rules namespace name). To create cannot be bound to a name. */}}
{{- define "headgate.allowHeadroom" -}}
{{- $rules := index . 0 -}}
{{- $namespace := index . 1 -}}
{{- include "headgate.allow" (list $rules $namespace "apps" "deployments" "" (list "create")) -}}
{{- include "headgate.allow" (list $rules $namespace "apps" "deployments" (index . 2) (list "get" "patch")) -}}
{{- include "headgate.allow" (list $rules $namespace "apps" "deployments/scale" (index . 2) (list "patch")) -}}
{{- end -}}

{{/* What is looked at and told wherever there are targets: (list rules namespace). */}}
{{- define "headgate.allowNamespace" -}}
{{- $rules := index . 0 -}}
{{- $namespace := index . 1 -}}
{{- include "headgate.allow" (list $rules $namespace "" "pods" "" (list "list" "watch")) -}}
{{- include "headgate.allow" (list $rules $namespace "" "events" "" (list "get" "list" "watch" "create" "patch")) -}}
{{- /* An autoscaler on the same pool is told of. */ -}}
{{- include "headgate.allow" (list $rules $namespace "autoscaling" "horizontalpodautoscalers" "" (list "list")) -}}
{{- end -}}
