{{/* The configuration as the chart completes it; what has no place in it is refused with what to do. */}}
{{- define "headgate.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if not $config.deployments -}}
{{- fail "config.deployments is empty: state at least one served model under `config`, or name a ConfigMap of your own in existingConfigMap" -}}
{{- end -}}
{{- if (default dict $config.prometheus).headers -}}
{{- fail "config.prometheus.headers would stand in a ConfigMap for everybody to read: put each value into a Secret and name it in prometheus.headers, as {header, secret, key}" -}}
{{- end -}}
{{- $journal := default dict $config.journal -}}
{{- $mount := .Values.journal.mountPath | trimSuffix "/" -}}
{{- $dir := default (printf "%s/journal" $mount) $journal.dir -}}
{{- if not (or (eq $dir $mount) (hasPrefix (printf "%s/" $mount) $dir)) -}}
{{- fail (printf "config.journal.dir is %s, and the journal's volume is mounted at %s (journal.mountPath): the one must lie in the other" $dir $mount) -}}
{{- end -}}
{{- $_ := set $config "journal" (merge (dict "dir" $dir) $journal) -}}
{{- toYaml $config -}}
{{- end -}}
