"""Give values that people would write, each using another part of the chart."""

from tests.chart.helm import MINIMAL, Values

_SHOP = {"name": "shop", "model": "gpt-oss-120b"}
DEPLOYED: Values = {
    "config": {
        "prometheus": {"url": "https://prometheus.example:8443/api", "labels": {"dynamo_namespace": "chat"}},
        "journal": {"dir": "/var/lib/headgate/records", "keep_files": 12},
        "deployments": [
            {
                **_SHOP,
                "mode": "act",
                "profile": "/etc/headgate/profiles/shop.json",
                "budget": {"gpus": 40},
                "target": {"namespace": "serving", "dynamo": "shop"},
                "pools": {"prefill": {"layout": "TP1", "min": 2}, "decode": {"layout": "TEP4", "min": 1}},
            }
        ],
    },
    "profiles": [
        {"name": "shop", "configMap": "gpt-oss-profile"},
        {"name": "other", "secret": "their-profile", "key": "their.json"},
        {"name": "large", "claim": "profiles"},
    ],
    "journal": {"persistence": {"enabled": True, "storageClassName": "azurefile-csi"}},
}
ARM64_NODES: Values = {
    **MINIMAL,
    "nodeSelector": {"kubernetes.io/arch": "arm64", "pool": 7},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
    ],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "system-cluster-critical",
    "schedulerName": "kai-scheduler",
    "imagePullSecrets": [{"name": "pull"}],
    "podAnnotations": {"team": "serving", "cost-centre": 4711},
    "podLabels": {"tier": "control"},
    "commonLabels": {"owner": "serving"},
    "extraEnv": [{"name": "HEADGATE_INTERVAL", "value": "30s"}],
    "extraEnvFrom": [{"secretRef": {"name": "more"}}],
    "extraVolumes": [{"name": "cards", "configMap": {"name": "cards"}}],
    "extraVolumeMounts": [{"name": "cards", "mountPath": "/etc/headgate/cards"}],
    "extraArgs": ["--deployment", "chat"],
    "image": {"repository": "registry.example/headgate", "digest": f"sha256:{'0' * 64}"},
}
AZURE: Values = {
    **MINIMAL,
    "azure": {"workloadIdentity": {"enabled": True, "clientId": "0000-client", "tenantId": "0000-tenant"}},
    "monitor": {
        "enabled": True,
        "apiGroups": ["monitoring.coreos.com", "azmonitoring.coreos.com"],
        "labels": {"release": "prometheus"},
    },
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    },
}
WATCHED: Values = {
    **MINIMAL,
    "monitor": {"enabled": True, "kind": "ServiceMonitor"},
    "alerts": {
        "enabled": True,
        "disabled": ["HeadgateFitHeldUp"],
        "extraLabels": {"team": "serving"},
        "runbookUrl": "https://runbooks.example/",
    },
    "dashboards": {"enabled": True, "namespace": "grafana", "annotations": {"grafana_folder": "GPUs"}},
    "service": {"annotations": {"note": "metrics"}},
}
SECRETS: Values = {
    **MINIMAL,
    "prometheus": {
        "headers": [{"header": "X-Scope-OrgID", "secret": "tenant", "key": "id"}],
        "bearerToken": {"secret": "prometheus-token"},
        "ca": {"configMap": "prometheus-ca", "key": "bundle.pem"},
    },
}
OWN_OBJECTS: Values = {
    "existingConfigMap": "ours",
    "serviceAccount": {"create": False, "name": "ours"},
    "rbac": {
        "targets": [
            {"namespace": "serving", "kinds": ["Deployment", "RoleSet"]},
            {"namespace": "trial", "kinds": ["LeaderWorkerSet"], "act": False},
        ],
        "kinds": [{"kind": "RoleSet", "apiGroup": "orchestration.aibrix.ai", "resource": "rolesets"}],
    },
    "replicas": 1,
    "journal": {"persistence": {"enabled": True, "accessModes": ["ReadWriteOnce"]}},
}
PROFILING: Values = {
    **MINIMAL,
    "headroom": {"priorityClass": {"create": True}},
    "profiler": {
        "enabled": True,
        "name": "small",
        "model": "gpt-oss-120b",
        "hardware": "gb200",
        "args": ["--layouts", "aggregated=TP1,TP2", "--parallel", 2],
        "template": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: ${name}\n",
        "files": {"engine.yaml": "- source: ours\n"},
    },
}
BARE: Values = {**MINIMAL, "replicas": 1, "rbac": {"create": False}, "service": {"enabled": False}}

SAMPLES: dict[str, Values] = {
    "minimal": MINIMAL,
    "deployed": DEPLOYED,
    "arm64 nodes": ARM64_NODES,
    "azure": AZURE,
    "watched": WATCHED,
    "secrets": SECRETS,
    "own objects": OWN_OBJECTS,
    "profiling": PROFILING,
    "bare": BARE,
}
