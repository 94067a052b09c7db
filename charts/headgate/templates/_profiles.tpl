{{/* Profiles: what is a key of an object lies in one folder, which follows changes; claims have one each. */}}
{{- define "headgate.profileMounts" -}}
- {name: profiles, mountPath: /etc/headgate/profiles, readOnly: true}
{{- range .Values.profiles }}
{{- if .claim }}
- {name: {{ printf "profile-%s" .name | quote }}, mountPath: {{ printf "/etc/headgate/volumes/%s" .name | quote }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}

{{- define "headgate.profileVolumes" -}}
{{- $files := list -}}
{{- $claims := list -}}
{{- range .Values.profiles -}}
{{- $item := dict "key" (default "profile.json" .key) "path" (printf "%s.json" .name) -}}
{{- if .configMap -}}
{{- $files = append $files (dict "configMap" (dict "name" .configMap "items" (list $item))) -}}
{{- else if .secret -}}
{{- $files = append $files (dict "secret" (dict "name" .secret "items" (list $item))) -}}
{{- else if .claim -}}
{{- $claim := dict "claimName" .claim "readOnly" true -}}
{{- $claims = append $claims (dict "name" (printf "profile-%s" .name) "persistentVolumeClaim" $claim) -}}
{{- end -}}
{{- end -}}
{{- toYaml (concat (list (dict "name" "profiles" "projected" (dict "sources" $files))) $claims) -}}
{{- end -}}
